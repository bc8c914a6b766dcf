import threading
from typing import Any

import pytest

from trackside.session.errands import Errands


def test_errands_of_many_threads_are_done_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    errands = Errands(lambda _: None)
    another = threading.Thread(target=lambda: errands.add(lambda: None), name="another")
    make, start = threading.Thread.__init__, threading.Thread.start

    def add_from_another() -> None:
        if another.ident is None:
            start(another)
            another.join(0.2)  # ends before, unless it has to wait

    def make_late(thread: threading.Thread, *arguments: Any, **named: Any) -> None:
        add_from_another()
        make(thread, *arguments, **named)

    def start_late(thread: threading.Thread) -> None:
        add_from_another()
        start(thread)

    monkeypatch.setattr(threading.Thread, "__init__", make_late)
    monkeypatch.setattr(threading.Thread, "start", start_late)
    errands.add(lambda: None)
    another.join()
    started = set(threading.enumerate()) - before
    errands.finish(60)

    assert len(started) == 1
    assert not any(thread.is_alive() for thread in started)
