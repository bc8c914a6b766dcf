import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trackside
from support.append_server import AppendServer, StoredRun
from trackside.session.datasets import describe_data
from trackside_protos.runs.v1.provenance_pb2 import Dataset


def fingerprint(data: object) -> str:
    dataset = Dataset()
    describe_data(dataset, data)
    return dataset.fingerprint


def table(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2], "b": ["x", "y"], **columns})


def datasets(stored: StoredRun) -> dict[str, Dataset]:
    reports = [r.provenance.datasets for r in stored.reports if r.provenance.datasets]
    return {dataset.name: dataset for dataset in reports[-1]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"abc", b"abd"),
        (np.arange(6), np.arange(6).reshape(2, 3)),
        (np.arange(6), np.arange(6.0)),
        (np.array(["a", None]), np.array(["b", None])),
        (table(), table(a=[1, 3])),
        (table(), table(b=["x", "z"])),
        (table(), table().rename(columns={"a": "c"})),
        (table(), table().set_index(pd.Index([5, 6]))),
        (table(), table(c=pd.to_datetime(["2026-01-01", "2026-01-02"]))),
        (pd.Series([1, 2]), pd.Series([2, 1])),
    ],
)
def test_other_data_have_another_fingerprint(one: object, other: object) -> None:
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"abc",
        lambda: np.arange(12.0).reshape(3, 4),
        lambda: table(c=pd.Categorical(["u", "v"])),
        lambda: pd.DataFrame([[1, 2]], columns=["twice", "twice"]),
    ],
)
def test_the_same_data_have_the_same_fingerprint(make: Callable[[], object]) -> None:
    assert fingerprint(make()) == fingerprint(make())


def test_the_layout_in_memory_does_not_matter() -> None:
    rows = np.arange(6).reshape(2, 3)

    assert fingerprint(rows) == fingerprint(np.asfortranarray(rows))


@pytest.mark.usefixtures("reporting")
def test_files_and_folders_are_read_in_the_background(
    append_server: AppendServer, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("1,2\n")
    (folder / "b.csv").write_text("3,4\n")

    with trackside.start_run(capture=False) as run:
        run.dataset("file", folder / "a.csv")
        run.dataset("folder", str(folder), row_count=2)
        run.dataset("missing", folder / "c.csv")
        run.dataset("known", folder / "c.csv", fingerprint="sha256:1")
        run.dataset("odd", object())

    stored = append_server.only_run()
    found = datasets(stored)
    assert list(found) == ["file", "folder", "missing", "known", "odd"]
    assert found["file"].size_bytes == 4
    assert found["folder"].size_bytes == 8
    assert found["folder"].location == str(folder)
    assert found["folder"].row_count == 2
    assert found["file"].fingerprint.startswith("sha256:")
    assert found["folder"].fingerprint != found["file"].fingerprint
    assert found["known"].fingerprint == "sha256:1"
    assert [found["missing"].fingerprint, found["odd"].fingerprint] == ["", ""]
    assert sum("has no fingerprint" in message for message in stored.messages) == 2


@pytest.mark.usefixtures("reporting")
def test_what_is_said_of_a_data_set_while_it_is_read_stands(
    append_server: AppendServer, tmp_path: Path
) -> None:
    table = tmp_path / "a.csv"
    table.write_text("1,2\n")

    with trackside.start_run(capture=False) as run:
        assert run._reporter is not None
        is_said = threading.Event()

        def wait() -> None:
            is_said.wait()

        run._reporter.errands.add(wait)
        run.dataset("table", table)
        run.dataset("table", table, fingerprint="sha256:1")
        is_said.set()

    assert datasets(append_server.only_run())["table"].fingerprint == "sha256:1"
