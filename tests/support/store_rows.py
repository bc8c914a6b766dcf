"""What the stores of an installation hold of a run, read from their own rows and nothing else."""

import hashlib
import itertools
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import Connection, create_engine, text

from trackside_journal.chunks import Chunk, unpack
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.runs.v1.change_pb2 import RunChange

Told = list[tuple[int, str]]
"""Sequences, and what stands there, in short."""


def digest(message: Message) -> str:
    """Return what stands for a message; the same as `watcher.py` writes down."""
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()


class StoreRows:
    """The stores of the three services: SQLite files of a home, or schemas of one database."""

    def __init__(self, data: Path | str) -> None:
        self._data = data

    def changes(self, run_id: str) -> Told:
        query = "select sequence, message from {}change where run_id = :run_id order by sequence"
        return [
            (sequence, digest(RunChange.FromString(bytes(message))))
            for sequence, message in self._rows("runs", query, run_id)
        ]

    def log_entries(self, run_id: str) -> Told:
        query = (
            "select first_sequence, last_sequence, codec, checksum, blob from {}chunk"
            " where run_id = :run_id order by first_sequence"
        )
        told: Told = []
        for first, last, codec, checksum, blob in self._rows("logs", query, run_id):
            content = unpack(Chunk(codec, checksum, bytes(blob)), first=first, last=last)
            for block in WatchLogsResponse.FromString(content).blocks:
                sequences = itertools.count(block.first_sequence)
                told += [(next(sequences), digest(entry)) for entry in block.entries]
        return told

    def block_sequences(self, run_id: str) -> list[int]:
        """Return the sequences of metric blocks that there are chunks for, each once."""
        query = (
            "select distinct first_sequence, last_sequence from {}chunk"
            " where run_id = :run_id order by first_sequence"
        )
        return [
            sequence
            for first, last in self._rows("metrics", query, run_id)
            for sequence in range(first, last + 1)
        ]

    def _rows(self, schema: str, query: str, run_id: str) -> Sequence[Any]:
        with self._connected(schema) as connection:
            prefix = "" if isinstance(self._data, Path) else f"{schema}."
            return connection.execute(text(query.format(prefix)), {"run_id": run_id}).all()

    @contextmanager
    def _connected(self, schema: str) -> Generator[Connection]:
        data = self._data
        url = data if isinstance(data, str) else f"sqlite:///{data / schema}.sqlite"
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
