import threading
from collections.abc import Iterator
from typing import Any

import pytest
from google.rpc import code_pb2

from support.append_server import LOGS, METRICS, RUNS, AppendServer, Refusal, Refuse, StoredRun
from trackside.delivery.delivery import Delivery
from trackside.delivery.outbox import Outbox
from trackside.identifiers import new_identifier
from trackside.location import Location
from trackside.spool.folder import Abandoned, spools
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.runs.v1.report_pb2 import ControlReport, ControlStep, RunReport, StateReport
from trackside_protos.runs.v1.run_pb2 import ControlRequest, Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest

RUN = "jh8p126nr3yqhrn8"
KILL = ControlRequest(request_id="k1", action=RunAction.RUN_ACTION_KILL)


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def delivery(location: Location, warnings: list[str]) -> Iterator[Delivery]:
    made = Delivery(location, on_warning=warnings.append)
    yield made
    made.stop()


def create(run_id: str = RUN, name: str = "") -> CreateRunRequest:
    return CreateRunRequest(run=Run(run_id=run_id, name=name), producer_id="sdk-1")


def open_run(delivery: Delivery, run_id: str = RUN) -> Outbox:
    return delivery.open(run_id, "sdk-1", create=create(run_id), abandoned=Abandoned.CRASHED)


def lines(*messages: str) -> list[LogEntry]:
    return [LogEntry(message=message) for message in messages]


def point(value: float) -> list[PointBlock]:
    return [PointBlock(key="k", steps=[0], times_millis=[0], values=[value])]


def finished(delivery: Delivery) -> bool:
    return delivery.wait(lambda: not delivery.left(), 20)


def test_what_was_said_arrives_in_order_and_the_spool_is_gone(
    delivery: Delivery, append_server: AppendServer, location: Location
) -> None:
    outbox = open_run(delivery)

    for number in range(300):
        outbox.log(lines(str(number)))
        outbox.points(point(number))
    outbox.close()

    assert finished(delivery)
    stored = append_server.only_run()
    assert stored.messages == [str(number) for number in range(300)]
    assert stored.values("k") == [float(number) for number in range(300)]
    assert stored.kinds() == ["closed"]
    assert stored.reports[-1].closed.logs_batch_count == 300
    assert not list(spools(location.home))


def test_connections_that_break_before_acknowledgements_repeat_nothing(
    delivery: Delivery, append_server: AppendServer
) -> None:
    append_server.lose_acknowledgement = 0.1
    outbox = open_run(delivery)

    for number in range(100):
        outbox.log(lines(str(number)))
        outbox.points(point(number))
    outbox.close()

    assert finished(delivery)
    stored = append_server.only_run()
    assert stored.messages == [str(number) for number in range(100)]
    assert stored.values("k") == [float(number) for number in range(100)]
    assert append_server.received_batches > 201


def test_a_server_that_comes_later_gets_everything(
    delivery: Delivery, append_server: AppendServer
) -> None:
    append_server.stop()
    outbox = open_run(delivery)
    outbox.log(lines("before"))
    assert delivery.wait(lambda: delivery.reach.failures > 2, 20)

    append_server.start()
    outbox.log(lines("after"))

    append_server.wait_for(lambda: append_server.runs)
    append_server.wait_for(lambda: append_server.only_run().messages == ["before", "after"])


def test_a_server_that_is_restarted_meanwhile_gets_everything_once(
    delivery: Delivery, append_server: AppendServer
) -> None:
    outbox = open_run(delivery)

    for number in range(40):
        outbox.log(lines(str(number)))
        if number % 10 == 5:
            append_server.wait_for(lambda: append_server.runs)
            append_server.stop()
            append_server.start()
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().messages == [str(number) for number in range(40)]


def test_the_runs_of_one_process_share_few_threads(
    delivery: Delivery, append_server: AppendServer
) -> None:
    outboxes = [open_run(delivery, new_identifier()) for _ in range(50)]

    for outbox in outboxes:
        outbox.log(lines("one"))
        outbox.points(point(1))
    ours = sorted(t.name for t in threading.enumerate() if t.name.startswith("trackside-"))
    for outbox in outboxes:
        outbox.close()

    assert finished(delivery)
    assert ours == [f"trackside-{name}" for name in ("housekeeping", LOGS, METRICS, RUNS)]
    assert [stored.messages for stored in append_server.runs.values()] == [["one"]] * 50


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
    def refuse(request: Any) -> Refusal | None:  # noqa: ANN401 - of any service
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
    def refuse(request: Any) -> Refusal | None:  # noqa: ANN401 - of any service
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


def test_a_server_that_lost_everything_gets_the_run_again_and_what_is_left(
    delivery: Delivery, append_server: AppendServer
) -> None:
    outbox = open_run(delivery)
    outbox.log(lines("before"))
    append_server.wait_for(lambda: append_server.runs)
    append_server.wait_for(lambda: append_server.only_run().messages)
    assert delivery.flush(20)

    append_server.stop()
    append_server.forget()
    append_server.start()
    outbox.log(lines("after"))
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().messages == ["after"]


def test_a_refused_token_keeps_everything_and_warns_once(
    delivery: Delivery, append_server: AppendServer, warnings: list[str], location: Location
) -> None:
    append_server.token = "another"  # noqa: S105 - the test's own
    outbox = open_run(delivery)

    outbox.log(lines("a"))
    assert delivery.wait(lambda: bool(warnings), 20)
    outbox.close()
    delivery.stop()

    assert "refuses the token" in warnings[0]
    assert len(list(spools(location.home))) == 1


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
        lambda: [bool(shipment.given_up) for shipment in delivery.left()] == [True], 20
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


def test_control_requests_reach_the_callback(
    location: Location, append_server: AppendServer
) -> None:
    asked: list[tuple[str, str]] = []
    delivery = Delivery(
        location, on_control=lambda run_id, request: asked.append((run_id, request.request_id))
    )
    outbox = open_run(delivery)
    outbox.report([RunReport(state=StateReport(state=RunState.RUN_STATE_RUNNING))])
    append_server.wait_for(lambda: append_server.runs)
    append_server.wait_for(lambda: append_server.only_run().states)

    append_server.control(RUN, KILL)

    assert delivery.wait(lambda: asked == [(RUN, "k1")], 20)
    step = ControlReport(request_id="k1", step=ControlStep.CONTROL_STEP_ACKNOWLEDGED)
    outbox.report([RunReport(control=step)])
    append_server.wait_for(lambda: "control" in append_server.only_run().kinds())
    delivery.stop()


def test_an_earlier_epoch_is_delivered_before_a_later_one_and_its_note_is_found(
    location: Location, append_server: AppendServer
) -> None:
    append_server.stop()
    before = Delivery(location)
    outbox = before.open(RUN, "agent-1", epoch=1)
    outbox.log(lines("a", "b"), note=b"offset 2")
    before.stop()
    outbox.spool.close()  # as the end of its process does

    after = Delivery(location)
    again = after.open(RUN, "agent-1", epoch=2)
    again.log(lines("c"), note=b"offset 3")
    append_server.runs[RUN] = stored_run()
    append_server.start()

    append_server.wait_for(lambda: append_server.runs[RUN].messages == ["a", "b", "c"])
    again.close()
    assert finished(after)
    after.stop()
    assert (again.spool.folder.path.exists(), again.note) == (False, b"offset 3")
    assert not list(spools(location.home))


def test_the_note_of_an_earlier_epoch_is_told_at_opening(location: Location) -> None:
    first = Delivery(location)
    outbox = first.open(RUN, "agent-1", epoch=1)
    outbox.log(lines("a"), note=b"offset 1")
    first.stop()
    outbox.spool.close()

    second = Delivery(location)

    assert second.open(RUN, "agent-1", epoch=2).note == b"offset 1"
    second.stop()


def test_an_epoch_cannot_be_used_twice(location: Location) -> None:
    first = Delivery(location)
    outbox = first.open(RUN, "agent-1")
    outbox.log(lines("a"))
    first.stop()

    second = Delivery(location)
    with pytest.raises(ValueError, match="begin a later one"):
        second.open(RUN, "agent-1")
    second.stop()


def stored_run() -> StoredRun:
    return StoredRun(Run(run_id=RUN))


def refuse_message(
    text: str, *, field: str = "entries[{}].message", about: dict[str, str] | None = None
) -> Refuse:
    def refuse(request: Any) -> Refusal | None:  # noqa: ANN401 - of any service
        for index, entry in enumerate(request.entries):
            if entry.message == text:
                place = field.format(index)
                return Refusal(code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", about or {}, place)
        return None

    return refuse
