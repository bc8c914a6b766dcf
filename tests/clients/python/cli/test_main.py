import os
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest

from trackside.cli import main
from trackside.cli.open_group import Offers
from trackside.version import VERSION


def _modules_after(*arguments: str) -> set[str]:
    """The modules that a command line leaves imported."""
    code = (
        "import sys; from trackside.cli.main import run; "
        f"run({list(arguments)!r}); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [[], ["get"], ["token"], ["profile"]])
def test_a_group_alone_shows_its_help_as_it_is_meant_to_be_read(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main.run(words)

    shown = capsys.readouterr()
    helped = main.run([*words, "--help"])
    assert (code, helped, shown.out) == (2, 0, "")
    assert shown.err.rstrip() == capsys.readouterr().out.rstrip()


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version_imports_nothing_heavy(word: str) -> None:
    heavy = {
        "grpc",
        "rich",
        "google.protobuf",
        "yaml",
        "importlib.metadata",
        "asyncio",
        "platformdirs",
    }

    assert not heavy & _modules_after(word)


@pytest.mark.parametrize("word", ["version", "--version"])
def test_the_version_is_shown(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([word]) == 0
    assert capsys.readouterr().out == f"trackside {VERSION}\n"


def test_a_mistyped_command_is_met_with_a_proposal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["lgos"]) == 2

    assert capsys.readouterr().err.splitlines() == [
        "error: No such command 'lgos'. Did you mean 'logs'?",
        "hint: `trackside --help` shows what it takes",
    ]


def nothing(_: Offers) -> dict[str, EntryPoint]:
    return {}


@pytest.mark.parametrize("words", [["up"], ["token", "create"]])
def test_a_command_of_another_package_says_which(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(Offers, "found", nothing)

    assert main.run(words) == 1

    assert capsys.readouterr().err.splitlines() == [
        f"error: `trackside {' '.join(words)}` comes with another package",
        "hint: pip install trackside-standalone",
    ]


@click.command(help="Start a server.")
def up_of_a_test() -> None:
    click.echo("it is up")


def _load(_: EntryPoint) -> click.Command:
    return up_of_a_test


def test_another_package_offers_a_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = EntryPoint("up", f"{__name__}:up_of_a_test", "trackside.commands")
    monkeypatch.setattr(EntryPoint, "load", _load)

    def found(offers: Offers) -> dict[str, EntryPoint]:
        return {"up": offered} if offers.entry_point_group == "trackside.commands" else {}

    monkeypatch.setattr(Offers, "found", found)

    assert main.run(["up"]) == 0
    assert main.run(["--help"]) == 0

    assert "up Start a server." in " ".join(capsys.readouterr().out.split())


def test_own_commands_are_found_without_a_scan_of_what_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def scan(_: Offers) -> dict[str, EntryPoint]:
        raise AssertionError

    monkeypatch.setattr(Offers, "found", scan)

    assert main.run(["version"]) == 0


def test_an_interruption_has_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.trackside, "invoke", interrupt)

    assert main.run(["version"]) == 130


def test_a_reader_that_goes_away_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(  # our own interpreter
        [sys.executable, "-c", "from trackside.cli.main import main; main()", "help", "filter"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )

    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_interrupt_while_starting_ends_the_command_without_a_word() -> None:
    code = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'click':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from trackside.cli.entry import main; main()"
    )

    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
