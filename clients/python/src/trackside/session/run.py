"""One run, as the program that it is sees it."""

import os
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import Any, Final, Literal, Self, cast, overload

from trackside.capture.lines import Line
from trackside.capture.logging_tap import LoggedRecord, LoggingTap
from trackside.capture.masking import Masker
from trackside.contents import contents_of
from trackside.session import files, provenance
from trackside.session.control import Control
from trackside.session.datasets import describe_data, describe_path
from trackside.session.decorating import Arguments, Returned
from trackside.session.ending import Ending
from trackside.session.failure import FailurePlace, Outcome, error_report, outcome_of
from trackside.session.open_runs import open_runs
from trackside.session.place import here
from trackside.session.progress import Item, Progress
from trackside.session.recorder import LineDraft, Recorder
from trackside.session.reporter import Reporter
from trackside.session.scopes import Scope, new_scope
from trackside.session.tasks import Task
from trackside.session.values import printable, struct_of, texts_of, value_of
from trackside_protos.logs.v1.log_entry_pb2 import LogLevel
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.provenance_pb2 import Dataset, Provenance, Source
from trackside_protos.runs.v1.report_pb2 import ProgressReport, RunReport, StateReport
from trackside_protos.runs.v1.run_pb2 import ControlRequest, ErrorReport, ResultSummary
from trackside_protos.runs.v1.task_pb2 import Task as TaskReport

_PLAIN: Final = frozenset({float, int, bool})
_LONGEST_LINE: Final = 1_024


class Run:
    """What a program says of its own run.

    A context manager, sync and async: leaving it ends the run, COMPLETED, or FAILED when an
    exception leaves it too. Without `with`, `finish` or the end of the program ends it. Every
    method may be called from any thread, costs microseconds, and raises nothing for want of a
    server or a disk.
    """

    def __init__(
        self, run_id: str, name: str, reporter: Reporter | None, recorder: Recorder
    ) -> None:
        """Made by `start_run`, not by users; without a reporter nothing is reported."""
        self.run_id = run_id
        """The run's id."""
        self.name = name
        """What people call it."""
        self._reporter = reporter
        self._recorder = recorder
        self._failures = FailurePlace()
        self._tap: LoggingTap | None = None
        self._datasets: dict[str, Dataset] = {}
        self._parameters: dict[str, Any] | None = None
        self._has_source = False
        self._ending = Ending()
        self._control = Control(reporter, self._ending) if reporter is not None else None

    def __repr__(self) -> str:
        return f"<trackside run {self.run_id} {self.name!r}>"

    def _repr_html_(self) -> str:
        """Return a card for notebooks."""
        from trackside.client.card import card  # noqa: PLC0415 - only notebooks show it

        ended = self._ending.has_begun
        address = f"trackside watch {self.run_id}" if self._reporter is not None else ""
        state = "ENDED" if ended else "RUNNING" if self._reporter is not None else "DISABLED"
        return card(self.run_id, self.name, state, facts=[("follow it by", address)])

    # Metrics and logs.

    def log(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        step: int | None = None,
        context: Mapping[str, Any] | None = None,
        **named: object,
    ) -> None:
        """Add a point to each of these series.

        Without a step, each series counts its own, from 0. Series of one key are told apart by
        their context, for example `{"fold": 3}`.
        """
        now = time_ns()
        try:
            taken = named if values is None else {**values, **named}
            for value in taken.values():
                if value.__class__ not in _PLAIN:
                    taken = _numbers(taken)
                    break
            self._recorder.add_points((now, taken, step, context and dict(context)))
        except Exception as error:  # noqa: BLE001 - a metric must never end the work
            self._complain(f"log() got what it cannot take: {type(error).__name__}: {error}")

    def debug(self, message: object, /, **context: object) -> None:
        """Add a log entry of level DEBUG."""
        self._say(LogLevel.LOG_LEVEL_DEBUG, message, context)

    def info(self, message: object, /, **context: object) -> None:
        """Add a log entry of level INFO."""
        self._say(LogLevel.LOG_LEVEL_INFO, message, context)

    def warning(self, message: object, /, **context: object) -> None:
        """Add a log entry of level WARNING."""
        self._say(LogLevel.LOG_LEVEL_WARNING, message, context)

    def error(self, message: object, /, **context: object) -> None:
        """Add a log entry of level ERROR."""
        self._say(LogLevel.LOG_LEVEL_ERROR, message, context)

    # Structure and progress.

    def scope(
        self,
        name: str,
        *,
        total: int | None = None,
        unit: str = "",
        message: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> Scope:
        """Open a counter, inside the scope where the caller is; or decorate what opens it.

        Example:
            ```python
            with run.scope("fold", total=5) as fold:
                for _ in range(5):
                    fold.advance(message="Fitting")
            ```
        """
        report = new_scope(total, unit, message, context)
        return Scope(self._recorder, self._failures, self.run_id, name, report)

    @overload
    def task(self, function: Callable[Arguments, Returned], /) -> Callable[Arguments, Returned]: ...

    @overload
    def task(
        self,
        name: str = "",
        *,
        process: str = "",
        context: Mapping[str, Any] | None = None,
        script: str = "",
        cached: bool = False,
    ) -> Task: ...

    def task(
        self,
        name: str | Callable[..., Any] = "",
        *,
        process: str = "",
        context: Mapping[str, Any] | None = None,
        script: str = "",
        cached: bool = False,
    ) -> Task | Callable[..., Any]:
        """Begin the execution of a node, for `with`; or decorate what executes it.

        Args:
            name: What people call it.
            process: The named node that it belongs to; by default `name`.
            context: Further facts.
            script: What it executes.
            cached: Whether an earlier execution satisfies it, so that it ends CACHED.

        Example:
            ```python
            with run.task("scale inputs", process="preprocess") as task:
                task.message("reading")


            @run.task
            def fit(rows): ...
            ```
        """
        called = "" if callable(name) else printable(name)
        report = TaskReport(
            name=called,
            process=printable(process) or called,
            context=texts_of(context),
            script=printable(script),
        )
        task = Task(self._recorder, self._failures, self.run_id, report)
        if cached:
            task.cached()
        return task(name) if callable(name) else task

    def progress(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        scope: str = "step",
        *,
        total: int | None = None,
        unit: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> Progress[Item]:
        """Return the items, counted by a scope while they are gone through.

        They may be a list, a generator, a progress bar, or asynchronous. The scope ends with the
        last of them, and when the loop is left before, with what was done by then.

        Example:
            ```python
            for fold in run.progress(range(5), scope="fold"):
                run.info("said in one of them")
            ```
        """
        return Progress(
            items,
            total,
            lambda count: self.scope(scope, total=count, unit=unit, context=context),
        )

    def progress_message(self, message: str) -> None:
        """Say in one line what the run does now."""
        progress = ProgressReport(message=printable(message)[:_LONGEST_LINE])
        self._report(RunReport(progress=progress))

    # What it is and what it yields.

    @property
    def parameters(self) -> dict[str, Any]:
        """The run's parameters; of a launched run, those that it was launched with.

        These are asked of the server once; empty when it does not answer within seconds.
        """
        if self._parameters is None:
            from trackside.session.launched import parameters_of  # noqa: PLC0415 - imports grpc

            self._parameters = parameters_of(self.run_id, self._complain)
        return dict(self._parameters)

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set further parameters."""
        report = RunReport()
        for key, value in parameters.items():
            report.attributes.parameters[printable(str(key))].CopyFrom(value_of(value))
        self._parameters = {**(self._parameters or {}), **parameters}
        self._report(report)

    def add_tags(self, *tags: str) -> None:
        """Add tags."""
        report = RunReport()
        report.attributes.tags.extend(printable(tag) for tag in tags)
        self._report(report)

    def set_labels(self, **labels: object) -> None:
        """Set labels."""
        report = RunReport()
        report.attributes.labels.update(texts_of(labels))
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
        self._has_source = True
        source = Source(
            repository=repository, revision=revision, commit=commit, path=path, dirty=dirty
        )
        self._report(RunReport(provenance=Provenance(source=source)))

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Set the resolved configuration, of any depth."""
        self._report(RunReport(provenance=Provenance(configuration=struct_of(config))))

    def dataset(
        self,
        name: str,
        data: object = None,
        *,
        fingerprint: str = "",
        location: str = "",
        row_count: int | None = None,
    ) -> None:
        """Say what data the run reads.

        The fingerprint is made of `data`, bytes, an array or a table as it is now, or a path
        which is read in the background, unless it is given.

        Example:
            ```python
            run.dataset("digits", "data/digits.csv", row_count=1797)
            run.dataset("features", frame)
            ```
        """
        dataset = Dataset(name=printable(name), fingerprint=fingerprint)
        path = Path(data) if isinstance(data, str | Path) else None
        if path is not None:
            dataset.location = str(path.absolute())
        elif data is not None and not fingerprint:
            self._try_to_describe(dataset, lambda: describe_data(dataset, data))
        dataset.location = location or dataset.location
        if row_count is not None:
            dataset.row_count = row_count
        self._datasets[name] = dataset
        self._report_datasets()
        if path is not None and not fingerprint and self._reporter is not None:
            read = Dataset()
            read.CopyFrom(dataset)
            self._reporter.errands.add(lambda: self._read_dataset(name, read, path))

    def output(
        self,
        path: str | os.PathLike[str],
        *,
        kind: Literal["data", "report", "model", ""] = "",
        description: str = "",
    ) -> None:
        """Publish a file or folder. It is read in the background: checksum, compressed size.

        Example:
            ```python
            run.output("model.json", kind="model", description="the best variant")
            ```
        """
        place = Path(path)
        output = files.output_of(place, Path.cwd())
        output.description = printable(description)[:_LONGEST_LINE]
        output.task_id = here(self.run_id).task_id
        if kind:
            output.kind = files.KINDS[kind]
        output.create_time.FromNanoseconds(time.time_ns())
        self._report(RunReport(output=output))
        if self._reporter is not None and output.exists:
            real = place.resolve()
            self._reporter.errands.add(lambda: self._read_output(output, real))

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

    # The end.

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until the server has everything said before; say whether it has."""
        if self._reporter is None or self._ending.has_begun:
            return False
        self._reporter.wait_recorded()
        return self._reporter.flush(timeout)

    def finish(self, error: BaseException | None = None) -> None:
        """End the run, as the exception says if there is one. Later calls change nothing.

        Waits for the delivery: some seconds at most when the server cannot be reached, longer
        while it takes things. What is not delivered then is kept and sent by a later program.
        """
        if self._begin_end():
            self._close(outcome_of(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run, and wait for its delivery while others go on."""
        if self._begin_end():
            from trackside.client.in_thread import in_thread  # noqa: PLC0415 - imports asyncio

            await in_thread(lambda: self._close(outcome_of(error)))

    # For this package.

    def tap_logging(self) -> None:
        """Take up what is said through `logging`."""
        echo = self._reporter.expect_echo if self._reporter is not None else None
        self._tap = LoggingTap(self._take_record, echo)

    def obey(self, request: ControlRequest) -> None:
        """Do what the server asks of a run that this program is."""
        if self._control is not None:
            self._control.obey(request)

    def describe_origin(self, *, with_environment: bool) -> None:
        """Say what takes time to find out: the code and the packages; an errand."""
        if self._reporter is None:
            return
        about = Provenance(packages=provenance.packages())
        if with_environment:
            about.environment.update(provenance.environment())
        source = provenance.source(self._reporter.masker.text)
        if source is not None and not self._has_source:
            about.source.CopyFrom(source)
        self._report(RunReport(provenance=about))

    def know_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Note what the parameters are: this program has set them."""
        self._parameters = dict(parameters)

    def end_with_program(self, error: BaseException | None) -> None:
        """End the run: the program ends."""
        self.finish(error)

    def before_fork(self) -> None:
        """Note that a process is about to be forked off."""
        if self._reporter is not None:
            self._reporter.before_fork()

    def after_fork_in_child(self) -> None:
        """Go on as a producer of one's own, which does not end the run."""
        if not self._ending.has_begun:
            self._ending = Ending()  # another thread may have used the other one at this moment
        if self._reporter is not None:
            self._reporter.become_child()

    def _begin_end(self) -> bool:
        """Let go of the program; say whether it is for the caller to close the run."""
        if not self._ending.begin():
            if self._control is not None:
                self._control.wait_killed()
            return False
        open_runs.discard(self)
        if self._tap is not None:
            self._tap.close()
        return True

    def _close(self, outcome: Outcome) -> None:
        if self._reporter is not None:
            try:
                self._reporter.stop_capture()
                self._reporter.close(self._last_reports(outcome, self._reporter))
            except Exception as failure:  # noqa: BLE001 - the program's own end is what counts
                self._complain(f"{type(failure).__name__}: {failure}")
        self._recorder.mute()

    def _last_reports(self, outcome: Outcome, reporter: Reporter) -> list[RunReport]:
        if reporter.is_child or self._control is None:
            return []
        outcome = self._control.outcome_of(outcome)
        mask = reporter.masker.text
        reports: list[RunReport] = []
        if outcome.error is not None:
            place = self._failures.place_of(outcome.error, here(self.run_id))
            error = error_report(outcome.error, place)
            error.message, error.traceback = mask(error.message), mask(error.traceback)
            reports.append(RunReport(error=error))
            self._add_last_line(error)
        state = StateReport(
            state=outcome.state, reason=outcome.reason, message=mask(outcome.message)
        )
        if outcome.exit_code is not None:
            state.exit_code = outcome.exit_code
        reports.append(RunReport(state=state))
        for report in reports:
            report.time.GetCurrentTime()
        return [*reports, *self._control.confirmations()]

    def _add_last_line(self, error: ErrorReport) -> None:
        self._recorder.add_line(
            LineDraft(
                time_ns(),
                LogLevel.LOG_LEVEL_ERROR,
                Line(f"{error.kind}: {error.message}"),
                "log",
                error.task_id,
                dict(error.context),
                "trackside",
            )
        )

    def _report(self, report: RunReport) -> None:
        report.time.FromNanoseconds(time_ns())
        self._recorder.add_report(report)

    def _read_output(self, output: Output, path: Path) -> None:
        contents = contents_of(path)
        output.checksum, output.size_bytes = contents.checksum, contents.size_bytes
        if contents.compressed_bytes is not None:
            output.compressed_bytes = contents.compressed_bytes
        self._report(RunReport(output=output))

    def _read_dataset(self, name: str, dataset: Dataset, path: Path) -> None:
        self._try_to_describe(dataset, lambda: describe_path(dataset, path))
        self._datasets[name] = dataset
        self._report_datasets()

    def _try_to_describe(self, dataset: Dataset, describe: Callable[[], None]) -> None:
        try:
            describe()
        except (OSError, TypeError, ValueError) as error:
            self._complain(f"the data set {dataset.name!r} has no fingerprint: {error}")

    def _report_datasets(self) -> None:
        known = list(self._datasets.values())  # the thread of the errands may add one
        self._report(RunReport(provenance=Provenance(datasets=known)))

    def _say(self, level: int, message: object, context: Mapping[str, Any]) -> None:
        place = here(self.run_id)
        line = Line(printable(str(message)))
        merged = {**place.context(), **context} if place.labels else context
        self._recorder.add_line(LineDraft(time_ns(), level, line, "log", place.task_id, merged))

    def _take_record(self, record: LoggedRecord) -> None:
        place = here(self.run_id)
        self._recorder.add_line(
            LineDraft(
                record.time_nanos,
                record.level,
                Line(printable(record.message)),
                "log",
                place.task_id,
                {**place.context(), **record.context},
                record.logger,
            )
        )

    def _complain(self, text: str) -> None:
        if self._reporter is not None:
            self._reporter.complain(text)


def silent_run(run_id: str = "", name: str = "") -> Run:
    """Return a run that does nothing, whatever is said of it."""
    recorder = Recorder(Masker([]), lambda _: None)
    recorder.mute()
    return Run(run_id, name, None, recorder)


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    """Return the values as numbers now: a tensor may be another one when it is looked at later."""
    return {key: float(cast("float", value)) for key, value in values.items() if value is not None}
