import io
import sys
from pathlib import Path

import grpc
import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID
from support.published_files import PublishedFiles
from support.scripted_server import Refused, ScriptedServer
from trackside.cli.exit_codes import ExitCode
from trackside.cli.transfer import Transfer

GONE = Refused(grpc.StatusCode.NOT_FOUND, "OUTPUT_GONE", "It is not there any more.")


@pytest.fixture(autouse=True)
def files(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PublishedFiles:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    files = PublishedFiles(server)
    files.publish("model.pt", b"0123456789")
    files.publish("deep/scores.csv", b"a,b\n1,2\n")
    files.publish("folder", {"a": b"a", "b/c": b"cc"})
    return files


def written(folder: str = ".") -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()
    )


def test_everything_goes_into_a_folder_of_the_run(command: Command) -> None:
    done = command("download", CHILD_ID)

    folder = f"outputs-{CHILD_ID}"
    assert done.code == 0
    assert done.out.splitlines() == [
        f"{folder}/{name}" for name in ("deep/scores.csv", "folder", "model.pt")
    ]
    assert written(folder) == ["deep/scores.csv", "folder/a", "folder/b/c", "model.pt"]
    assert done.err == ""


def test_it_may_be_called_again(command: Command, files: PublishedFiles) -> None:
    command("download", CHILD_ID)
    files.reads = []

    done = command("download", CHILD_ID)

    assert done.code == 0
    assert len(done.out.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["model.pt"], ["model.pt"]),
        (["deep/scores.csv", "model.pt", "model.pt"], ["deep/scores.csv", "model.pt"]),
        (["folder"], ["folder/a", "folder/b/c"]),
        (["folder/"], ["folder/a", "folder/b/c"]),
        (["folder/b/c"], ["folder/b/c"]),
        (["folder/b"], ["folder/b/c"]),
        (["--to", "there", "model.pt"], ["there/model.pt"]),
    ],
)
def test_what_is_named_goes_here(command: Command, words: list[str], expected: list[str]) -> None:
    done = command("download", CHILD_ID, *words)

    assert done.code == 0
    assert written() == expected


@pytest.mark.parametrize("word", ["nothing", "nothing/x", "../model.pt", "Model.pt", ""])
def test_what_was_never_published_is_not_found(command: Command, word: str) -> None:
    done = command("download", CHILD_ID, "model.pt", word)

    assert done.code == ExitCode.NOT_FOUND
    assert written() == []


def test_a_file_has_nothing_below_it(command: Command) -> None:
    done = command("download", CHILD_ID, "model.pt/x")

    assert done.code == ExitCode.NOT_FOUND
    assert written() == []


def test_what_cannot_be_had_does_not_keep_the_rest(command: Command, files: PublishedFiles) -> None:
    files.faults = [GONE]

    done = command("download", CHILD_ID)

    assert done.code == ExitCode.NOT_FOUND
    assert done.err.splitlines()[0] == "error: deep/scores.csv: It is not there any more."
    assert written(f"outputs-{CHILD_ID}") == ["folder/a", "folder/b/c", "model.pt"]


def test_nothing_is_written_over_without_force(command: Command) -> None:
    Path("model.pt").write_text("mine")

    refused = command("download", CHILD_ID, "model.pt")
    mine = Path("model.pt").read_text()
    forced = command("download", "--force", CHILD_ID, "model.pt")

    assert (refused.code, mine) == (ExitCode.CONFLICT, "mine")
    assert "exists already" in refused.err
    assert forced.code == 0
    assert Path("model.pt").read_bytes() == b"0123456789"


def test_what_was_written_since_comes_only_when_wanted(
    command: Command, files: PublishedFiles
) -> None:
    files.files["model.pt"] = b"9876543210"

    refused = command("download", CHILD_ID, "model.pt")
    taken = command("download", "--changed", CHILD_ID, "model.pt")

    assert refused.code == ExitCode.ERROR
    assert "checksum differs" in refused.err
    assert taken.code == 0
    assert Path("model.pt").read_bytes() == b"9876543210"


@pytest.mark.parametrize("word", ["model.pt", "folder/b/c"])
def test_one_file_goes_to_stdout(
    command: Command, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)

    done = command("download", CHILD_ID, word, "--to", "-")

    out.seek(0)
    assert done.code == 0
    assert out.read() == {"model.pt": "0123456789", "folder/b/c": "cc"}[word]
    assert written() == []


def test_several_files_do_not_go_to_stdout(command: Command) -> None:
    done = command("download", CHILD_ID, "--to", "-")

    assert done.code == ExitCode.USAGE
    assert "one file goes to stdout, and here are 3" in done.err


def test_on_a_terminal_a_file_is_harmless(
    command: Command, files: PublishedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.publish("evil", b"\x1b[2Jhello\r\n\xff")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    done = command("download", CHILD_ID, "evil", "--to", "-")

    assert done.out == "\\x1b[2Jhello\n\N{REPLACEMENT CHARACTER}\n"


def test_names_are_harmless(command: Command, files: PublishedFiles) -> None:
    files.publish("\x1b[2J\nx", b"evil")
    files.publish("\x1b[3J", b"evil")
    files.faults = [GONE]

    done = command("download", CHILD_ID)

    assert "\x1b" not in done.out + done.err
    assert "\\x1b[2J\\nx" in done.out + done.err


def test_a_run_without_outputs_says_so(command: Command, files: PublishedFiles) -> None:
    files.outputs.clear()

    done = command("download", CHILD_ID)

    assert (done.code, done.out, done.err) == (0, "", "No outputs.\n")
    assert written() == []


def test_a_place_that_cannot_be_written_is_said(command: Command) -> None:
    Path("there").write_text("a file")

    done = command("download", CHILD_ID, "model.pt", "--to", "there")

    assert done.code == ExitCode.ERROR
    assert "cannot write there/model.pt" in done.err


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen, file = _Screen(), io.StringIO()

    for to in (screen, file):
        transfer = Transfer(to)
        transfer.begin("deep/\x1b[2J" + "x" * 60)
        transfer.progress(0, 1_000)
        transfer.progress(500, 1_000)
        transfer.end()

    assert file.getvalue() == ""
    first, _, rest = screen.getvalue().removeprefix("\r\x1b[K").partition("\r\x1b[K")
    assert first.endswith("x  0%  0 B of 1.0 kB")
    assert first.startswith("…")
    assert rest == ""
