"""Files and data, described: size, checksum, kind."""

import hashlib
import mimetypes
from pathlib import Path
from typing import Any, Final, Protocol

from trackside_protos.runs.v1.output_pb2 import Output, OutputKind
from trackside_protos.runs.v1.provenance_pb2 import Dataset

KINDS: Final = {
    "data": OutputKind.OUTPUT_KIND_DATA,
    "report": OutputKind.OUTPUT_KIND_REPORT,
    "model": OutputKind.OUTPUT_KIND_MODEL,
}
_CHUNK: Final = 1 << 20


def output_of(path: Path, base: Path) -> Output:
    """Describe a file, without its checksum. It may have vanished or never been there."""
    absolute = path.absolute()
    known = absolute.relative_to(base) if absolute.is_relative_to(base) else absolute
    output = Output(
        path=str(known),
        location=str(absolute),
        media_type=mimetypes.guess_type(path.name)[0] or "",
    )
    try:
        output.size_bytes = size_of(absolute)
        output.exists = True
    except OSError:
        output.exists = False
    return output


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files below a folder.

    Raises:
        OSError: It cannot be read.
    """
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def checksum_of(path: Path) -> str:
    """Return the checksum of a file, or of the names and contents below a folder.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for each in sorted(path.rglob("*")):
            if each.is_file():
                digest.update(f"{each.relative_to(path)}\0{checksum_of(each)}\n".encode())
    else:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def dataset_of(name: str, data: object) -> Dataset:
    """Describe a data set by what it is: a path, bytes, an array, or a table of arrays.

    Raises:
        TypeError: It is nothing of which a checksum could be made.
    """
    dataset = Dataset(name=name)
    if isinstance(data, str | Path):
        path = Path(data)
        dataset.location = str(path.absolute())
        dataset.size_bytes = size_of(path)
        dataset.fingerprint = checksum_of(path)
        return dataset
    digest = hashlib.sha256()
    dataset.size_bytes = _digest(data, digest)
    dataset.fingerprint = f"sha256:{digest.hexdigest()}"
    rows = getattr(data, "shape", None)
    if rows:
        dataset.row_count = int(rows[0])
    return dataset


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _digest(data: Any, digest: _Digest) -> int:  # noqa: ANN401 - whatever numpy and pandas give
    to_numpy = getattr(data, "to_numpy", None)
    if callable(to_numpy):
        data = to_numpy()
    shape, kind = getattr(data, "shape", None), getattr(data, "dtype", None)
    if kind is not None:
        # The same bytes in another shape are other data.
        digest.update(f"{kind} {shape}\n".encode())
        if getattr(kind, "hasobject", False):
            contents = repr(data.tolist()).encode()
        else:
            contents = data.tobytes()  # in the order of rows, however it lies in memory
    else:
        contents = bytes(memoryview(data))
    digest.update(contents)
    return len(contents)
