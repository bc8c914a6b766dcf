"""Outputs that are to be deleted, and the directory below which they must be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDirectory:
    """The directory below which a run has its outputs: nothing elsewhere is ever deleted."""

    path: str
    """An absolute path with no link on its way."""
    identity: str
    """Names this very directory, whatever bears the path later, such as its device and inode.

    Up to 256 characters; for the runner alone to compare.
    """
    hazard: str = ""
    """Why nothing below it is ever to be deleted, such as `it is a user's home`; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoomedOutput:
    """One output that is to be deleted, as it was published."""

    run_id: str
    """The run, which has ended; the host may have forgotten its handle."""
    directory: OutputDirectory
    """As the runner has reported it."""
    location: str
    """As it was published, by the runner or by the program itself: not to be trusted."""
    size_bytes: int
    """Of a folder: of all its files together."""
    checksum: str
    """For example `sha256:` and 64 hexadecimal digits; may be empty, then the size must do.

    Of a folder: the SHA-256 of a line `PATH`, NUL, `sha256:…`, line feed for each of its plain
    files, with `/` between the names of a path, in the order of these names.
    """
