import signal
import subprocess
import threading
from pathlib import Path

import pytest

from support.eventually import eventually
from trackside.cli.pager import fits, pager_command, show_paged


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({}, ["less"]),
        ({"PAGER": "more -d"}, ["more", "-d"]),
        ({"PAGER": "more", "TRACKSIDE_PAGER": "most"}, ["most"]),
        ({"PAGER": "more", "TRACKSIDE_PAGER": ""}, []),
        ({"PAGER": "cat"}, []),
        ({"PAGER": "more '"}, []),
        ({"TERM": "dumb"}, []),
    ],
)
def test_the_pager_is_the_persons(environment: dict[str, str], command: list[str]) -> None:
    assert pager_command(environment) == command


def test_a_pager_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKSIDE_PAGER", "/nowhere/less")

    assert not show_paged(["a"])


def test_a_pager_that_is_left_early_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKSIDE_PAGER", "true")

    assert show_paged(["a" * 100] * 10_000)


def test_lines_that_wrap_take_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("LINES", "4")

    assert fits(["x" * 20, "\x1b[31m" + "x" * 10 + "\x1b[0m"])
    assert not fits(["x" * 21, "x"])


def test_an_interrupt_is_the_pagers_to_deal_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept, has_read, may_end = (tmp_path / name for name in ("kept", "has_read", "may_end"))
    monkeypatch.setenv(
        "TRACKSIDE_PAGER",
        f'sh -c \'trap "" INT; cat > {kept}; touch {has_read};'
        f" until [ -e {may_end} ]; do sleep 0.01; done'",
    )
    waits: list[object] = []
    wait = subprocess.Popen[bytes].wait

    def wait_again(pager: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        waits.append(timeout)
        if len(waits) > 1:  # the interrupt was seen, and the pager is still there
            may_end.touch()
        return wait(pager, timeout)

    def interrupt() -> None:
        eventually(has_read.exists)
        eventually(lambda: waits)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    monkeypatch.setattr(subprocess.Popen, "wait", wait_again)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        shown = show_paged(["a", "b"])
    finally:
        may_end.touch()

    assert shown
    assert kept.read_text() == "a\nb\n"
