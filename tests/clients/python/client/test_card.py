from html.parser import HTMLParser

import pytest
from typing_extensions import override

import trackside
from support.append_server import AppendServer
from support.reporting import append_server, location, reporting
from trackside.client.card import card
from trackside.client.connection import Connection
from trackside.client.handle import RunHandle
from trackside_protos.runs.v1.run_pb2 import Progress, Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

__all__ = ["append_server", "location", "reporting"]


class Page(HTMLParser):
    """What a page shows, and the elements that it is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: set[str] = set()
        self.depth = 0
        self.feed(page)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.depth += 1

    @override
    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    @override
    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def test_a_card_shows_how_the_run_stands(connection: Connection) -> None:
    run = Run(
        run_id="7k2m000000000000",
        name="ridge",
        state=RunState.RUN_STATE_RUNNING,
        progress=Progress(percent=40.0, message="Fitting fold 2/5"),
    )
    run.elapsed_duration.FromSeconds(3_725)

    page = Page(RunHandle(run, connection)._repr_html_())

    assert page.depth == 0
    for shown in ("ridge", "7k2m000000000000", "RUNNING", "Fitting fold 2/5", "1:02:05"):
        assert shown in page.text


def test_nothing_of_a_run_is_taken_as_html() -> None:
    evil = "<script>alert(1)</script>\"'&{x}"

    page = Page(card(evil, evil, evil, percent=400.0, facts=[(evil, evil)]))

    assert page.elements <= {"div", "b", "code", "span"}
    assert page.text.count(evil) == 5
    assert page.depth == 0


def test_a_long_text_is_cut() -> None:
    assert len(card("a", "n" * 100_000, "RUNNING")) < 2_000


@pytest.mark.usefixtures("reporting")
def test_an_own_run_has_a_card(append_server: AppendServer) -> None:
    with trackside.start_run("train", capture=False) as run:
        during = Page(run._repr_html_())
    after = Page(run._repr_html_())

    assert append_server.only_run()
    assert f"trackside watch {run.run_id}" in during.text
    assert ("RUNNING" in during.text, "ENDED" in after.text) == (True, True)
