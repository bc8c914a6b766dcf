"""Published files as a runner opens them: a file read piece by piece, a folder listed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlace:
    """Where something is that a run has published."""

    run_id: str
    """The run, which may have ended long ago; the host may have forgotten its handle."""
    location: str
    """As it was published, by the runner or by the program itself: not to be trusted."""
    member: str = ""
    """The path of a file below that folder; empty: the location itself."""


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file below a folder."""

    path: str
    """Relative to the folder, with `/` between the names."""
    size_bytes: int


class OpenedFile(ABC):
    """A file that is open. The host reads one piece at a time, and closes it in the end."""

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """The size that it had when it was opened; no more is read of it."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Names the contents: another one than before says that the file was written since.

        Up to 256 characters; empty if there is no way to tell.
        """

    @abstractmethod
    async def read(self, offset: int, limit: int) -> bytes:
        """Return what is at an offset: `limit` bytes, or fewer, but some.

        Never asked for more than there is by `size_bytes`. What waits for a disk or network must
        not hold the loop up meanwhile.

        Raises:
            FileChangedError: The file is shorter than it was, or was written over meanwhile.
            FileUnreadableError: It cannot be read any more.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of it. Idempotent; may come while a cancelled `read` still goes on."""


class OpenedFolder(ABC):
    """A folder that is being listed. The host closes it in the end."""

    @property
    @abstractmethod
    def skipped_count(self) -> int:
        """How many entries were left out so far: links, devices, names that are no UTF-8."""

    @abstractmethod
    async def next_files(self, limit: int) -> Sequence[FolderFile]:
        """Return the next files at any depth below it, at most `limit`; none when all were told.

        Nothing is followed: a link is left out, and what it points to is not of the folder.

        Raises:
            FileUnreadableError: It cannot be listed any further.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of it. Idempotent; may come while a cancelled `next_files` still goes on."""
