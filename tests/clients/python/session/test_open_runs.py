import threading
from collections.abc import Iterator

from typing_extensions import override

from trackside.session.open_runs import OpenRun, OpenRuns
from trackside.session.run import silent_run


class Meddled(list[OpenRun]):
    """Gives another thread the time to do something whenever it is gone through."""

    meddler: threading.Thread

    @override
    def __iter__(self) -> Iterator[OpenRun]:
        if self.meddler.ident is None:
            self.meddler.start()
            self.meddler.join(0.2)  # ends before, unless it has to wait
        return super().__iter__()


def test_a_run_that_begins_while_another_ends_is_open() -> None:
    runs, ending, beginning = OpenRuns(), silent_run(), silent_run()
    runs.host(ending)
    meddled = Meddled([ending])
    meddled.meddler = threading.Thread(target=runs.host, args=(beginning,))
    runs._runs = meddled

    runs.discard(ending)

    meddled.meddler.join()
    assert list(runs) == [beginning]
