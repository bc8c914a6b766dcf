from pathlib import Path
from typing import Any

import pytest
from google.rpc import code_pb2

from support.append_server import LOGS, METRICS, RUNS, AppendServer, Refusal, Refuse
from support.deliveries import RUN, create, finished, lines, open_run, point
from trackside.delivery.delivery import Delivery
from trackside.identifiers import new_identifier
from trackside.location import Location
from trackside.spool.folder import spools
from trackside_protos.runs.v1.report_pb2 import RunReport, StateReport
from trackside_protos.runs.v1.run_state_pb2 import RunState


def test_only_the_refused_items_are_left_out_and_reported_as_a_gap(
    delivery: Delivery, append_server: AppendServer, warnings: list[str]
) -> None:
    append_server.refuse[LOGS] = refuse_message("bad")
    outbox = open_run(delivery)

    outbox.log(lines("a", "bad", "b"))
    outbox.log(lines("c"))
    outbox.close()

    assert finished(delivery)
    stored = append_server.only_run()
    assert stored.messages == ["a", "b", "c"]
    assert [r.gap.item_count for r in stored.reports if r.HasField("gap")] == [1]
    assert len(warnings) == 1


def test_a_batch_that_is_refused_whole_is_replaced_by_a_word_about_it(
    delivery: Delivery, append_server: AppendServer
) -> None:
    append_server.refuse[LOGS] = refuse_message("bad", field="")
    outbox = open_run(delivery)

    outbox.log(lines("a", "bad"))
    outbox.log(lines("c"))
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().messages == [
        "2 log entries were dropped here because the server refused them",
        "c",
    ]


def test_a_refusal_that_names_no_batch_is_found_by_sending_one_at_a_time(
    delivery: Delivery, append_server: AppendServer
) -> None:
    append_server.refuse[LOGS] = refuse_message("bad", field="", about={"nothing": "said"})
    append_server.stop()
    first, second = open_run(delivery), open_run(delivery, new_identifier())
    for number in range(5):
        first.log(lines(str(number)))
        second.log(lines("bad" if number == 2 else str(number)))

    append_server.start()
    for outbox in (first, second):
        outbox.close()

    assert finished(delivery)
    assert append_server.runs[RUN].messages == [str(number) for number in range(5)]
    (other,) = [stored for run_id, stored in append_server.runs.items() if run_id != RUN]
    assert other.messages[2].startswith("1 log entries were dropped")
    assert len(other.messages) == 5


def test_points_that_are_refused_leave_their_count(
    delivery: Delivery, append_server: AppendServer
) -> None:
    def refuse(request: Any) -> Refusal | None:
        bad = any(each.key == "k" for each in request.blocks)
        return Refusal(code_pb2.INVALID_ARGUMENT, "INVALID_FIELD") if bad else None

    append_server.refuse[METRICS] = refuse
    outbox = open_run(delivery)

    outbox.points(point(1))
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().values("trackside/dropped_points") == [1.0]


def test_an_illegal_state_is_left_out_and_the_rest_of_its_batch_arrives(
    delivery: Delivery, append_server: AppendServer
) -> None:
    def refuse(request: Any) -> Refusal | None:
        bad = any(each.HasField("state") for each in request.reports)
        return Refusal(code_pb2.FAILED_PRECONDITION, "ILLEGAL_TRANSITION") if bad else None

    append_server.refuse[RUNS] = refuse
    outbox = open_run(delivery)
    state = RunReport(state=StateReport(state=RunState.RUN_STATE_RUNNING))
    progress = RunReport()
    progress.progress.message = "on"

    outbox.report([state, progress])
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().kinds() == ["progress", "gap", "closed"]


def test_a_number_that_is_taken_counts_as_delivered(
    delivery: Delivery, append_server: AppendServer
) -> None:
    once = [Refusal(code_pb2.ALREADY_EXISTS, "BATCH_CONFLICT")]
    append_server.refuse[LOGS] = lambda _: once.pop() if once else None
    append_server.stop()
    outbox = open_run(delivery)
    outbox.log(lines("a"))
    append_server.start()
    outbox.close()

    assert finished_but_first_batch(append_server, delivery)


def finished_but_first_batch(append_server: AppendServer, delivery: Delivery) -> bool:
    return finished(delivery) and append_server.only_run().messages == []


@pytest.mark.parametrize("reason", ["TOKEN_REFUSED", "TOKEN_REVOKED"])
def test_a_refused_token_keeps_everything_and_warns_once(
    delivery: Delivery,
    append_server: AppendServer,
    warnings: list[str],
    location: Location,
    reason: str,
) -> None:
    append_server.token = "another"  # noqa: S105 - the test's own
    append_server.refusal_of_tokens = reason
    outbox = open_run(delivery)

    outbox.log(lines("a"))
    assert delivery.wait(lambda: bool(warnings), 60)
    outbox.close()
    delivery.stop()

    assert "refuses the token" in warnings[0]
    assert len(list(spools(location.home))) == 1


def test_a_revoked_token_of_the_home_is_exchanged_without_a_loss(
    append_server: AppendServer, warnings: list[str], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("revoked")
    append_server.refusal_of_tokens = "TOKEN_REVOKED"
    delivery = Delivery(Location(append_server.address, "", tmp_path), on_warning=warnings.append)
    outbox = open_run(delivery)
    outbox.log(lines("a"))
    assert delivery.wait(lambda: bool(warnings), 60)

    token.write_text(append_server.token)  # as the server does
    outbox.log(lines("b"))
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().messages == ["a", "b"]
    delivery.stop()


def test_a_fenced_epoch_stops_that_producer_alone(
    delivery: Delivery, append_server: AppendServer, warnings: list[str]
) -> None:
    append_server.refuse[LOGS] = lambda request: (
        Refusal(code_pb2.FAILED_PRECONDITION, "STALE_EPOCH")
        if request.batch.run_id == RUN
        else None
    )
    stale, other = open_run(delivery), open_run(delivery, new_identifier())

    stale.log(lines("a"))
    other.log(lines("b"))
    other.close()

    assert delivery.wait(
        lambda: [bool(shipment.given_up) for shipment in delivery.left()] == [True], 60
    )
    assert len(warnings) == 1


@pytest.mark.parametrize("door", [LOGS, "create"])
def test_a_deleted_run_is_given_up_and_others_go_on(
    delivery: Delivery, append_server: AppendServer, warnings: list[str], door: str
) -> None:
    about = "run" if door == "create" else "batch"
    append_server.refuse[door] = lambda request: (
        Refusal(code_pb2.NOT_FOUND, "RUN_DELETED")
        if getattr(request, about).run_id == RUN
        else None
    )
    deleted, other = open_run(delivery), open_run(delivery, new_identifier())

    deleted.log(lines("a"))
    other.log(lines("b"))
    other.close()

    assert delivery.wait(
        lambda: [bool(shipment.given_up) for shipment in delivery.left()] == [True], 60
    )
    assert len(warnings) == 1


def test_a_run_that_is_refused_as_it_is_is_created_with_less(
    delivery: Delivery, append_server: AppendServer
) -> None:
    append_server.refuse["create"] = lambda request: (
        Refusal(code_pb2.INVALID_ARGUMENT, "INVALID_FIELD") if request.run.notes else None
    )
    request = create(name="kept")
    request.run.notes = "too long"
    outbox = delivery.open(RUN, "sdk-1", create=request)

    outbox.log(lines("a"))
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().run.name == "kept"


def progress(message: str) -> RunReport:
    report = RunReport()
    report.progress.message = message
    return report


def refuse_message(
    text: str, *, field: str = "entries[{}].message", about: dict[str, str] | None = None
) -> Refuse:
    def refuse(request: Any) -> Refusal | None:
        for index, entry in enumerate(request.entries):
            if entry.message == text:
                place = field.format(index)
                return Refusal(code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", about or {}, place)
        return None

    return refuse
