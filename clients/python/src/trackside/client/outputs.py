"""The files that a run published, as a list that prints itself as a table."""

from collections.abc import Iterable
from typing import Final, Generic, Self, TypeVar

from trackside.client.errors import NotFoundError
from trackside.client.output_facts import OutputFacts
from trackside.client.sizes import size_text

OutputT = TypeVar("OutputT", bound=OutputFacts)

_ROW: Final = "  {:<12} {:<12} {}"


class Outputs(tuple[OutputT, ...], Generic[OutputT]):
    """The published files of a run, in order of path.

    Example:
        ```python
        print(trackside.get_run("@latest").outputs())
        ```
    """

    __slots__ = ()

    def __new__(cls, outputs: Iterable[OutputT]) -> Self:
        """Hold these outputs."""
        return super().__new__(cls, outputs)

    @property
    def size_bytes(self) -> int:
        """The size of all that still exist together."""
        return sum(output.size_bytes for output in self if output.exists)

    @property
    def archive_bytes(self) -> int:
        """The size of an archive of all that still exist: compressed where that is known."""
        return sum(
            output.size_bytes if output.compressed_bytes is None else output.compressed_bytes
            for output in self
            if output.exists
        )

    def named(self, path: str) -> OutputT:
        """Return the output of this path.

        Raises:
            NotFoundError: There is none.
        """
        for output in self:
            if output.path == path:
                return output
        message = f"the run has published no {path!r}"
        raise NotFoundError(message, hint="`outputs()` lists what it has published")

    def __str__(self) -> str:
        if not self:
            return "No outputs."
        rows = [_ROW.format("Size", "Compressed", "Name")]
        rows += [_ROW.format(*_cells(output)) for output in self]
        return "\n".join([f"Archive size: {size_text(self.archive_bytes)}", "Contents:", *rows])

    def __repr__(self) -> str:
        return f"<Outputs {len(self)}, {size_text(self.size_bytes)}>"


def _cells(output: OutputFacts) -> tuple[str, str, str]:
    known = output.compressed_bytes
    compressed = "" if known is None else size_text(known)
    # A name may hold what would move the cursor of a terminal.
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in output.path)
    return size_text(output.size_bytes), compressed, name if output.exists else f"{name} (gone)"
