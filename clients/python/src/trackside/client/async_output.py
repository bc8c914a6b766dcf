"""The asynchronous face of an output: each call is one of `RunOutput`, in a thread of its own."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from trackside.client.deletions import OutputsDeletion
from trackside.client.in_thread import each_in_thread, in_thread
from trackside.client.output_facts import OutputFacts
from trackside.client.run_output import RunOutput
from trackside.client.stopping import Stopper

Result = TypeVar("Result")
_PIECE: Final = 256 << 10


class AsyncRunOutput(OutputFacts):
    """A published file or folder, whose methods that read it are to be awaited.

    What they take, return and raise is said by those of `RunOutput`. A cancelled one ends; what
    a cancelled download has had is gone on with by the next.
    """

    def __init__(self, output: RunOutput) -> None:
        super().__init__(output.message)
        self._output = output

    async def files(self) -> Sequence[str]:
        """Return the paths of the files of a folder; of a file, nothing."""
        return await self._ask(RunOutput.files)

    async def read(self, offset: int = 0, length: int = 0, **chosen: Any) -> bytes:  # noqa: ANN401 - as there
        """Return the contents of a file, or a part of them; takes what `RunOutput.read` takes."""
        return await self._ask(lambda output: output.read(offset, length, **chosen))

    def pieces(self, **chosen: Any) -> AsyncGenerator[bytes]:  # noqa: ANN401 - as there
        """Yield a file from its beginning, piece by piece; takes what `RunOutput.open` takes."""
        stopper = Stopper()

        def begin() -> Iterator[bytes]:
            with self._output.stopped_by(stopper).open(**chosen) as file:
                while piece := file.read(_PIECE):
                    yield piece

        return each_in_thread(begin, stopper.stop)

    async def download(self, to: str | Path = ".", **chosen: Any) -> Path:  # noqa: ANN401 - as there
        """Have it on this machine, and return where; takes what `RunOutput.download` takes."""
        return await self._ask(lambda output: output.download(to, **chosen))

    async def delete(self, confirmation: str, **chosen: Any) -> OutputsDeletion:  # noqa: ANN401 - as there
        """Delete it where it is; takes what `RunOutput.delete` takes."""
        return await self._ask(lambda output: output.delete(confirmation, **chosen))

    async def _ask(self, act: Callable[[RunOutput], Result]) -> Result:
        stopper = Stopper()
        output = self._output.stopped_by(stopper)
        return await in_thread(lambda: act(output), stopper.stop)
