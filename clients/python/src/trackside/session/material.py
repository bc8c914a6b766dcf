"""The files and data that a run reads and publishes."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from trackside.contents import contents_of
from trackside.session import files
from trackside.session.datasets import describe_data, describe_path
from trackside.session.place import here
from trackside.session.recorder import Recorder
from trackside.session.reporter import Reporter
from trackside.session.speaker import Speaker
from trackside.session.values import one_line, sentence
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.provenance_pb2 import Dataset, Provenance
from trackside_protos.runs.v1.report_pb2 import RunReport


class Material(Speaker):
    """The face of a run by which its program names what it reads and publishes."""

    def __init__(
        self, run_id: str, name: str, reporter: Reporter | None, recorder: Recorder
    ) -> None:
        """Begin with no data set."""
        super().__init__(run_id, name, reporter, recorder)
        self._datasets: dict[str, Dataset] = {}

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
        dataset = Dataset(name=one_line(name), fingerprint=fingerprint)
        path = Path(data) if isinstance(data, str | Path) else None
        if path is not None:
            dataset.location = str(path.absolute())
        elif data is not None and not fingerprint:
            self._try_to_describe(dataset, lambda: describe_data(dataset, data))
        dataset.location = location or dataset.location
        if row_count is not None:
            dataset.row_count = row_count
        with self._telling:
            self._datasets[name] = dataset
            self._report_datasets()
        if path is not None and not fingerprint and self._reporter is not None:
            self._reporter.errands.add(lambda: self._read_dataset(name, dataset, path))

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

        What is not there is on record as gone, with a warning in the run's log.
        """
        try:
            place = files.place_of(path)
            output = files.output_of(place, files.working_folder())
        except (OSError, TypeError, ValueError) as error:
            self.complain(f"the output {str(path)[:200]!a} is not published: {error}")
            return
        output.description = sentence(description)
        output.task_id = here(self.run_id).task_id
        if not output.exists:
            self.complain(f"the output {place} is not there, or cannot be read")
        if kind and kind not in files.KINDS:
            self.complain(f"an output is of no kind {kind!r}; there are {', '.join(files.KINDS)}")
        elif kind:
            output.kind = files.KINDS[kind]
        output.create_time.FromNanoseconds(time.time_ns())
        self._report(RunReport(output=output))
        if self._reporter is not None and output.exists:
            real = place.resolve()
            self._reporter.errands.add(lambda: self._read_output(output, real))

    def _read_output(self, output: Output, path: Path) -> None:
        contents = contents_of(path)
        output.checksum, output.size_bytes = contents.checksum, contents.size_bytes
        if contents.compressed_bytes is not None:
            output.compressed_bytes = contents.compressed_bytes
        self._report(RunReport(output=output))

    def _read_dataset(self, name: str, said: Dataset, path: Path) -> None:
        read = Dataset()
        read.CopyFrom(said)
        self._try_to_describe(read, lambda: describe_path(read, path))
        with self._telling:
            if self._datasets[name] is said:  # nothing else was said of it since
                self._datasets[name] = read
                self._report_datasets()

    def _try_to_describe(self, dataset: Dataset, describe: Callable[[], None]) -> None:
        try:
            describe()
        except (OSError, TypeError, ValueError) as error:
            self.complain(f"the data set {dataset.name!r} has no fingerprint: {error}")

    def _report_datasets(self) -> None:
        self._report(RunReport(provenance=Provenance(datasets=self._datasets.values())))
