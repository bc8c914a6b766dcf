import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from support.grpcurl import grpcurl, grpcurl_path
from support.whole_installation import WholeInstallation

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]  # it may have to be built

RUNS: Final = "trackside.runs.v1.RunsService"
RUN_ID: Final = "0123456789abcdef"
Call = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    grpcurl_path()
    installation = WholeInstallation(tmp_path_factory.mktemp("installation") / "home")
    installation.start()
    token = (installation.home / "token").read_text()

    def call(method: str, *requests: object) -> list[Any]:
        data = "\n".join(json.dumps(request) for request in requests)
        process = grpcurl(installation.address, token, f"{RUNS}/{method}", data=data)
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        return list(documents(out))

    yield call
    assert installation.stop() == 0


def documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents that stand one after the other in a text."""
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        document, end = decoder.raw_decode(rest)
        yield document
        rest = rest[end:].lstrip()


def batch(sequence: int) -> dict[str, object]:
    return {"runId": RUN_ID, "producerId": "by-hand", "epoch": 1, "sequence": sequence}


def test_a_run_is_created_reported_and_watched_with_reflection_alone(call: Call) -> None:
    (created,) = call("CreateRun", {"run": {"runId": RUN_ID}, "producerId": "by-hand"})
    reported = call(
        "ReportRun",
        {
            "batch": batch(1),
            "reports": [
                {"state": {"state": "RUN_STATE_RUNNING"}},
                {"progress": {"message": "Fitting fold 3/5 - Ridge"}},
            ],
        },
        {
            "batch": batch(2),
            "reports": [{"state": {"state": "RUN_STATE_COMPLETED", "exitCode": 0}}, {"closed": {}}],
        },
    )
    start = {"position": "WATCH_POSITION_BEGINNING"}
    watched = call("WatchRun", {"runId": RUN_ID, "start": start})

    assert created["run"]["run_id"] == RUN_ID
    assert reported[-1]["acknowledgement"]["through_sequence"] == "2"
    changes = [change for response in watched for change in response.get("changes", [])]
    assert [int(change["sequence"]) for change in changes] == list(range(1, len(changes) + 1))
    states = [change["run"]["state"] for change in changes if "run" in change]
    assert states[-1] == "RUN_STATE_COMPLETED"
    assert changes[-1]["run"]["sealed"] is True
