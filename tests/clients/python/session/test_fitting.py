from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

import trackside
from support.append_server import AppendServer

pytestmark = pytest.mark.usefixtures("reporting")

ESCAPE = "\x1b[31mred\n\u202e\0"
SHOWN = "_[31mred___"


def warnings(server: AppendServer) -> set[str]:
    return {e.message for e in server.only_run().entries if e.logger == "trackside"}


def test_names_with_escapes_are_kept_without_them(append_server: AppendServer) -> None:
    with trackside.start_run(
        ESCAPE, tags=[ESCAPE], labels={ESCAPE: ESCAPE}, params={ESCAPE: ESCAPE}, capture=False
    ) as run:
        with run.scope(ESCAPE, unit=ESCAPE, context={ESCAPE: "v"}), run.task(ESCAPE):
            run.info(ESCAPE, **{ESCAPE: "v"})
        run.dataset(ESCAPE, b"")

    stored = append_server.only_run()
    assert (stored.run.name, list(stored.run.tags)) == (SHOWN, [SHOWN])
    assert dict(stored.run.labels) == {SHOWN: SHOWN}
    assert {k: MessageToDict(v) for k, v in stored.run.parameters.items()} == {SHOWN: ESCAPE}
    assert {r.scope.path for r in stored.reports if r.HasField("scope")} == {SHOWN}
    assert {r.task.name for r in stored.reports if r.HasField("task")} == {SHOWN}
    (entry,) = stored.entries
    assert (entry.message, entry.context[SHOWN]) == (ESCAPE, "v")


def test_of_too_much_as_much_is_kept_as_fits_and_the_rest_is_said_to_be_missing(
    append_server: AppendServer,
) -> None:
    huge: dict[str, Any] = {"big": "x" * 1_000_000, "many": list(range(100_000)), "rate": 0.1}
    with trackside.start_run(
        "n" * 1_000,
        tags=[f"tag {number}" for number in range(100)],
        labels={f"label{number}": "v" * 5_000 for number in range(100)},
        params=huge,
        notes="n\u00e4" * 100_000,
        description="line\n" * 9_000,
        config={"big": "x" * 3_000_000},
        capture=False,
    ) as run:
        run.set_parameters({f"p{number}": number for number in range(2_000)})
        assert run.parameters["big"] == "x" * 1_000_000

    kept = append_server.only_run().run
    assert (len(kept.name), len(kept.tags), len(kept.labels)) == (256, 64, 64)
    assert kept.parameters["rate"].number_value == 0.1
    assert kept.parameters["big"].string_value == "(too large to be kept: 1.0 MB)"
    assert len(kept.notes.encode()) <= 60 << 10
    assert len(kept.description) == 1_024
    assert warnings(append_server) == {
        "of 100 tags only 64 are kept",
        "of 100 labels only 64 are kept",
        "of 2000 parameters only 1000 are kept",
        "the parameter 'big' is too large to be kept: 1.0 MB",
        "the parameter 'many' is too large to be kept: 1.1 MB",
        "the configuration is too large to be kept: 3.0 MB",
    }


@pytest.mark.parametrize("odd", [10**30, -5, float("nan"), "three", None])
def test_counts_of_any_kind_break_nothing(append_server: AppendServer, odd: Any) -> None:
    with trackside.start_run(capture=False) as run:
        with run.scope("fold", total=odd) as fold:
            fold.advance(odd)
            fold.update(completed=odd, total=odd)
        for _ in run.progress(range(2), "step"):
            pass

    stored = append_server.only_run()
    last = {r.scope.path: r.scope for r in stored.reports if r.HasField("scope")}
    assert last["fold"].completed_count in (0, (1 << 63) - 1)
    assert last["step"].completed_count == 2
