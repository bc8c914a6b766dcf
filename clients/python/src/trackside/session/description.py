"""What a run is and what it has achieved: parameters, tags, code, configuration, result."""

from collections.abc import Mapping
from typing import Any

from trackside.session import provenance
from trackside.session.fitting import fit, fit_configuration
from trackside.session.hiding import hide_secrets
from trackside.session.speaker import Speaker
from trackside.session.values import printable, struct_of, value_of
from trackside_protos.runs.v1.provenance_pb2 import Provenance, Source
from trackside_protos.runs.v1.report_pb2 import RunReport
from trackside_protos.runs.v1.run_pb2 import ResultSummary


class Description(Speaker):
    """The face of a run by which its program describes it."""

    _parameters: dict[str, Any] | None = None
    _has_source = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The run's parameters; of a launched run, those that it was launched with.

        These are asked of the server once; empty when it does not answer within seconds.
        """
        if self._parameters is None:
            from trackside.session.launched import parameters_of  # noqa: PLC0415 - imports grpc

            self._parameters = parameters_of(self.run_id, self.complain)
        return dict(self._parameters)

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set further parameters. Secrets among them are masked before they are kept."""
        report = RunReport()
        for key, value in parameters.items():
            report.attributes.parameters[printable(str(key))].CopyFrom(value_of(value))
        hide_secrets(report.attributes.parameters, self._mask)
        fit(report.attributes, self.complain)
        self._parameters = {**(self._parameters or {}), **parameters}
        self._report(report)

    def add_tags(self, *tags: str) -> None:
        """Add tags."""
        report = RunReport()
        report.attributes.tags.extend(printable(str(tag)) for tag in tags)
        fit(report.attributes, self.complain)
        self._report(report)

    def set_labels(self, **labels: object) -> None:
        """Set labels."""
        report = RunReport()
        pairs = labels.items()
        report.attributes.labels.update({key: printable(str(value)) for key, value in pairs})
        fit(report.attributes, self.complain)
        self._report(report)

    def set_source(
        self,
        *,
        repository: str = "",
        revision: str = "",
        commit: str = "",
        path: str = "",
        dirty: bool = False,
    ) -> None:
        """Say what code this is, where it is not what git says of the program's folder."""
        source = Source(
            repository=repository, revision=revision, commit=commit, path=path, dirty=dirty
        )
        with self._telling:
            self._has_source = True
            self._report(RunReport(provenance=Provenance(source=source)))

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Set the resolved configuration, of any depth; replaces what was set before."""
        configuration = struct_of(config)
        hide_secrets(configuration.fields, self._mask)
        fit_configuration(configuration, self.complain)
        self._report(RunReport(provenance=Provenance(configuration=configuration)))

    def result(
        self,
        *,
        best_score: float | None = None,
        best_series: str = "",
        models_trained: int = 0,
        best_run_id: str = "",
        **values: object,
    ) -> None:
        """Say what the run has achieved; replaces what was said before."""
        result = ResultSummary(
            best_series=best_series,
            models_trained_count=models_trained,
            best_run_id=best_run_id,
            values=struct_of(values),
        )
        if best_score is not None:
            result.best_score = float(best_score)
        self._report(RunReport(result=result))

    # For this package.

    def describe_origin(self, *, with_environment: bool) -> None:
        """Say what takes time to find out: the code and the packages; an errand."""
        if self._reporter is None:
            return
        about = Provenance(packages=provenance.packages())
        if with_environment:
            about.environment.update(provenance.environment())
        source = provenance.source(self._reporter.masker.text)
        with self._telling:
            if source is not None and not self._has_source:
                about.source.CopyFrom(source)
            self._report(RunReport(provenance=about))

    def know_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Note what the parameters are: this program has set them."""
        self._parameters = dict(parameters)
