"""The fingerprints of data that a run reads: of files and folders, bytes, arrays and tables."""

import hashlib
import sys
from pathlib import Path
from typing import Any, Protocol

from trackside.contents import contents_of
from trackside_protos.runs.v1.provenance_pb2 import Dataset


def describe_path(dataset: Dataset, path: Path) -> None:
    """Add what is found out by reading a file or folder. May take minutes.

    Raises:
        OSError: It cannot be read.
    """
    contents = contents_of(path)
    dataset.size_bytes = contents.size_bytes
    dataset.fingerprint = contents.checksum


def describe_data(dataset: Dataset, data: object) -> None:
    """Add what is found out of bytes, an array, or a table, as it is now.

    Raises:
        TypeError: It is nothing of which a checksum could be made.
    """
    digest = hashlib.sha256()
    dataset.size_bytes = _digest(data, digest)
    dataset.fingerprint = f"sha256:{digest.hexdigest()}"
    rows = getattr(data, "shape", None)
    if rows:
        dataset.row_count = int(rows[0])


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _digest(data: Any, digest: _Digest) -> int:  # noqa: ANN401 - whatever numpy and pandas give
    columns = getattr(data, "columns", None)
    if columns is not None and hasattr(data, "dtypes"):
        return _digest_table(data, digest)
    to_numpy = getattr(data, "to_numpy", None)
    if callable(to_numpy):
        data = to_numpy()
    shape, kind = getattr(data, "shape", None), getattr(data, "dtype", None)
    if kind is not None:
        # The same bytes in another shape are other data.
        digest.update(f"{kind} {shape}\n".encode())
        if getattr(kind, "hasobject", False):
            contents = repr(data.tolist()).encode(errors="replace")
        else:
            contents = data.tobytes()  # in the order of rows, however it lies in memory
    else:
        contents = bytes(memoryview(data))
    digest.update(contents)
    return len(contents)


def _digest_table(table: Any, digest: _Digest) -> int:  # noqa: ANN401 - a pandas or polars frame
    """Take in the names and values of the columns, and of pandas the labels of the rows."""
    pandas = sys.modules.get("pandas")
    size = 0
    if pandas is not None and isinstance(table, pandas.DataFrame):
        size += _digest(table.index, digest)
    for position, name in enumerate(table.columns):
        digest.update(f"{name!r}\n".encode(errors="replace"))
        # By position, for pandas allows two columns of one name.
        column = table.iloc[:, position] if hasattr(table, "iloc") else table[name]
        size += _digest(column, digest)
    return size
