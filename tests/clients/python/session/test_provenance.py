import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import trackside
from support.append_server import AppendServer
from trackside.session import provenance
from trackside_protos.runs.v1.provenance_pb2 import Provenance, Source

Git = Callable[..., None]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A repository with one commit, whose `train.py` is the program that runs."""
    repository = tmp_path / "repository"
    repository.mkdir()
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> None:
        named = ("-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *named, *words], cwd=repository, check=True, capture_output=True)  # noqa: S603, S607 - our own words

    (repository / "train.py").write_text("rate = 1\n")
    run("init")
    run("add", ".")
    run("commit", "-m", "first")
    monkeypatch.setattr(sys, "argv", [str(repository / "train.py")])
    return run


def program() -> Path:
    return Path(sys.argv[0])


def ask() -> Source:
    source = provenance.source(lambda text: text.replace("hunter22", "***"))
    assert source is not None
    return source


def test_the_code_is_named_without_credentials(git: Git) -> None:
    git("remote", "add", "origin", "https://me:hunter22@example.org/team/code.git")

    source = ask()

    assert source.repository == "https://example.org/team/code.git"
    assert (source.revision, source.path, source.dirty) == ("main", "train.py", False)
    assert len(source.commit) == 40
    assert source.changes == ""


def test_what_is_not_committed_is_kept_as_a_diff_without_secrets(git: Git) -> None:
    git("status")
    program().write_text(
        "rate = 2\nAPI_KEY = 'sesame open'\nurl = 'https://me:pw@h'\nkey = 'hunter22'\n"
        "token = current_token(1)\nPASSWORD=letmein1\n"
    )

    source = ask()

    assert source.dirty
    added = [line for line in source.changes.split("\n") if line.startswith("+")]
    assert added[1:] == [
        "+rate = 2",
        "+API_KEY = '********'",
        "+url = 'https://********@h'",
        "+key = '***'",
        "+token = current_token(1)",
        "+PASSWORD=********",
    ]


def test_of_a_large_diff_the_beginning_is_kept(git: Git) -> None:
    git("status")
    program().write_text("".join(f"line {number} \N{EURO SIGN}\n" for number in range(50_000)))

    changes = ask().changes

    assert 250 << 10 < len(changes.encode()) <= 256 << 10
    assert changes.rpartition("\n")[2].endswith("\N{EURO SIGN}")


def test_before_the_first_commit_everything_is_new(git: Git) -> None:
    git("update-ref", "-d", "HEAD")

    source = ask()

    assert (source.commit, source.revision, source.dirty) == ("", "main", True)
    assert "+rate = 1" in source.changes


def test_a_broken_repository_is_no_error(git: Git) -> None:
    git("status")
    (program().parent / ".git" / "HEAD").write_text("nonsense")

    assert provenance.source(str) is None


def test_without_git_nothing_is_said(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    git("status")
    monkeypatch.setenv("PATH", "")

    assert provenance.source(str) is None


def test_a_git_that_hangs_is_waited_for_a_moment_only(
    git: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git("status")
    hangs = tmp_path / "bin" / "git"
    hangs.parent.mkdir()
    hangs.write_text("#!/bin/sh\nexec sleep 1000\n")
    hangs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{hangs.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "_GIT_SECONDS", 0.2)

    assert provenance.source(str) is None


def test_packages_are_told_with_their_versions() -> None:
    from importlib.metadata import version  # noqa: PLC0415 - what it is compared with

    packages = provenance.packages()

    for name in ("numpy", "pytest-asyncio", "grpcio"):
        assert packages[name] == version(name)


def test_the_environment_is_told_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "hunter22")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    monkeypatch.setenv("HEADER", "Bearer hunter22")
    monkeypatch.setenv("DATABASE", "postgresql://me:pw@host/db")
    monkeypatch.setenv("STAGE", "test")

    environment = provenance.environment()

    assert environment["MY_API_KEY"] == environment["SHORT_TOKEN"] == "********"
    assert environment["HEADER"] == "Bearer ********"
    assert environment["DATABASE"] == "postgresql://********@host/db"
    assert environment["STAGE"] == "test"


def test_of_a_large_environment_a_part_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2_000):
        monkeypatch.setenv(f"LARGE_{number}", "x" * 1_000)
    monkeypatch.setenv("N" * 500, "x")
    monkeypatch.setenv("HOME", "x" * 100_000)

    environment = provenance.environment()

    assert len(environment) <= 1_000
    assert len(environment["HOME"]) == 4 << 10
    assert "N" * 500 not in environment


def test_where_a_run_comes_from_is_reported_in_the_background(
    append_server: AppendServer, reporting: object, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reporting
    git("status")
    program().write_text("rate = 3\n")
    monkeypatch.setenv("MY_API_KEY", "hunter22")

    with trackside.start_run(capture=False):
        pass

    known = Provenance()
    for report in append_server.only_run().reports:
        known.MergeFrom(report.provenance)
    assert known.source.revision == "main"
    assert "+rate = 3" in known.source.changes
    assert known.packages["numpy"]
    assert known.environment["MY_API_KEY"] == "********"
    assert known.machine.memory_bytes > 0


def test_what_the_program_says_of_its_code_stands(
    append_server: AppendServer, reporting: object, git: Git
) -> None:
    assert reporting
    git("status")

    with trackside.start_run(capture=False) as run:
        run.set_source(repository="mine", commit="c" * 40)

    sources = [r.provenance.source for r in append_server.only_run().reports]
    assert [source.repository for source in sources if source.repository][-1] == "mine"
