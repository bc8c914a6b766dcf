"""Downloads what a run has published, each output to its own place below one folder."""

from collections.abc import Sequence
from pathlib import Path

from trackside.client.errors import DownloadFailedError, TracksideError
from trackside.client.outputs import Outputs
from trackside.client.placement import placed
from trackside.client.run_output import RunOutput


def download_outputs(
    outputs: Outputs[RunOutput], directory: Path, *, overwrite: bool, accept_changed: bool
) -> Sequence[Path]:
    """Have all of them there, and return where each is, in order.

    Raises:
        DownloadFailedError: Some could not be had; the others are there.
        OSError: They cannot be written.
    """
    places = placed(output.path for output in outputs)
    failures: dict[str, TracksideError] = {}
    found: list[Path] = []
    for output in outputs:
        target = directory / places[output.path]
        try:
            found.append(
                output.download_as(target, overwrite=overwrite, accept_changed=accept_changed)
            )
        except TracksideError as error:
            failures[output.path] = error
    if failures:
        raise DownloadFailedError(failures)
    return found
