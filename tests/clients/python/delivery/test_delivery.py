import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.rpc import code_pb2

from support.append_server import LOGS, METRICS, RUNS, AppendServer, Refusal, Refuse, StoredRun
from trackside.delivery.delivery import LEFTOVERS_AT_ONCE, Delivery
from trackside.delivery.outbox import Outbox
from trackside.identifiers import new_identifier
from trackside.location import Location
from trackside.spool.folder import Abandoned, Identity, Position, SpoolFolder, spools
from trackside.spool.frames import Service
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
    return delivery.wait(lambda: not delivery.left(), 60)


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
    assert delivery.wait(lambda: delivery.reach.failures > 2, 60)

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
    assert delivery.wait(lambda: bool(warnings), 60)
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

    assert delivery.wait(lambda: asked == [(RUN, "k1")], 60)
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


def test_epochs_that_are_adopted_together_are_delivered_in_their_order(
    location: Location, append_server: AppendServer
) -> None:
    append_server.stop()
    for epoch in (9, 10):
        gone = Delivery(location)
        outbox = gone.open(RUN, "agent-1", epoch=epoch)
        outbox.log(lines(f"first of {epoch}"))
        outbox.log(lines(f"second of {epoch}"))
        gone.stop()
        outbox.spool.close()

    after = Delivery(location)
    after.adopt_run(RUN, also_kept=True)
    append_server.runs[RUN] = stored_run()
    append_server.start()

    append_server.wait_for(lambda: len(append_server.runs[RUN].messages) == 4)
    after.stop()
    assert append_server.runs[RUN].messages == [
        "first of 9",
        "second of 9",
        "first of 10",
        "second of 10",
    ]


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


def test_a_later_epoch_waits_for_whoever_delivers_the_earlier_one(
    location: Location, append_server: AppendServer
) -> None:
    append_server.stop()
    before = Delivery(location)
    outbox = before.open(RUN, "agent-1", epoch=1)
    outbox.log(lines("a"))
    before.stop()
    outbox.spool.close()
    other = outbox.spool.folder.lock_for_delivery()
    assert other is not None

    after = Delivery(location)
    again = after.open(RUN, "agent-1", epoch=2)
    again.log(lines("b"))
    another_run = open_run(after, new_identifier())
    another_run.log(lines("c"))
    append_server.runs[RUN] = stored_run()
    append_server.start()
    append_server.wait_for(lambda: another_run.identity.run_id in append_server.runs)
    append_server.wait_for(lambda: append_server.runs[another_run.identity.run_id].messages)
    while_held = list(append_server.runs[RUN].messages)
    other.release()

    append_server.wait_for(lambda: append_server.runs[RUN].messages == ["a", "b"])
    after.stop()
    assert while_held == []


def test_an_earlier_epoch_that_another_delivered_is_not_sent_again(
    location: Location, append_server: AppendServer
) -> None:
    append_server.runs[RUN] = stored_run()
    before = Delivery(location)
    outbox = before.open(RUN, "agent-1", epoch=1)
    outbox.log(lines("a"))
    assert before.flush(20)
    received = append_server.received_batches

    after = Delivery(location)
    again = after.open(RUN, "agent-1", epoch=2)
    again.log(lines("b"))
    before.stop()
    outbox.spool.close()

    append_server.wait_for(lambda: append_server.runs[RUN].messages == ["a", "b"])
    after.stop()
    assert append_server.received_batches == received + 1


def test_a_note_survives_a_start_that_said_nothing(location: Location) -> None:
    for epoch in (1, 2, 3):
        delivery = Delivery(location)
        outbox = delivery.open(RUN, "agent-1", epoch=epoch, durable=True)
        if epoch == 1:
            outbox.log(lines("a"), note=b"offset 1")
        delivery.stop()
        outbox.spool.close()

    last = Delivery(location)
    assert last.open(RUN, "agent-1", epoch=4).note == b"offset 1"
    last.stop()


def test_what_is_durable_arrives_too(
    delivery: Delivery, append_server: AppendServer, location: Location
) -> None:
    outbox = delivery.open(RUN, "agent-1", create=create(), durable=True)

    for number in range(100):
        outbox.log(lines(str(number)))
    outbox.close()

    assert finished(delivery)
    assert append_server.only_run().messages == [str(number) for number in range(100)]
    assert not list(spools(location.home))


def test_a_spool_is_held_for_delivery_before_anything_is_in_it(
    delivery: Delivery, append_server: AppendServer
) -> None:
    append_server.stop()

    outbox = delivery.open(RUN, "agent-1")

    assert outbox.spool.folder.lock_for_delivery() is None


def test_what_a_living_program_writes_is_no_leftover(
    location: Location, append_server: AppendServer
) -> None:
    living, ended = (spooled(location, new_identifier(), message) for message in ("a", "b"))
    ended.spool.close()
    agent = Delivery(location)

    assert agent.adopt_leftovers()

    append_server.wait_for(lambda: ended.identity.run_id in append_server.runs)
    append_server.wait_for(lambda: append_server.only_run().producers_closed)
    assert [one.run_id for one in agent.left()] in ([], [ended.identity.run_id])
    assert living.spool.folder.has_writer()
    agent.stop()


def test_what_another_server_is_meant_to_have_is_no_leftover(
    location: Location, append_server: AppendServer
) -> None:
    spooled(replace(location, server="elsewhere:1"), RUN, "a").spool.close()
    agent = Delivery(location)

    assert agent.adopt_leftovers()

    assert (agent.left(), append_server.runs) == ([], {})
    agent.stop()


def test_leftovers_are_adopted_a_few_at_a_time(
    location: Location, append_server: AppendServer
) -> None:
    append_server.stop()
    for _ in range(LEFTOVERS_AT_ONCE + 5):
        spooled(location, new_identifier(), "a").spool.close()
    agent = Delivery(location)

    enough = agent.adopt_leftovers()
    held = len(agent.left())
    append_server.start()

    assert (enough, held) == (False, LEFTOVERS_AT_ONCE)
    assert finished(agent)
    assert agent.adopt_leftovers()
    assert finished(agent)
    assert len(append_server.runs) == LEFTOVERS_AT_ONCE + 5
    agent.stop()


def test_an_adopted_spool_that_its_writer_closes_is_not_said_to_have_crashed(
    location: Location, append_server: AppendServer
) -> None:
    outbox = spooled(location, RUN, "a")
    agent = Delivery(location)
    agent.adopt(outbox.spool.folder)
    append_server.wait_for(lambda: RUN in append_server.runs)
    append_server.wait_for(lambda: append_server.runs[RUN].messages)

    outbox.close()

    assert finished(agent)
    assert append_server.only_run().kinds() == ["closed"]
    agent.stop()


def test_the_spool_of_one_who_comes_back_is_left_to_it(location: Location) -> None:
    identity = Identity(RUN, "agent-1", server=location.destination, abandoned=Abandoned.KEPT)
    outbox = Outbox(SpoolFolder.of(location.home, identity), identity)
    outbox.log(lines("a"))
    outbox.spool.close()
    other = Delivery(location)

    other.adopt_run(RUN)
    by_others = len(other.left())
    other.adopt_run(RUN, also_kept=True)

    assert (by_others, len(other.left())) == (0, 1)
    other.stop()


@pytest.mark.parametrize("known", [0, 1], ids=["unknown", "known"])
def test_a_crash_is_told_behind_what_the_machine_lost_and_the_server_has(
    location: Location, append_server: AppendServer, known: int
) -> None:
    first = Delivery(location)
    outbox = open_run(first)
    outbox.report([progress("1")])
    assert first.flush(20)
    first.stop()
    segment = outbox.spool.folder.segment(1)
    on_disk = segment.read_bytes()
    for number in range(5):
        outbox.report([progress(str(number))])
    outbox.spool.close()
    second = Delivery(location)
    second.adopt(outbox.spool.folder)
    append_server.wait_for(lambda: len(append_server.only_run().reports) >= 6)
    second.stop()
    append_server.runs[RUN].reports[6:] = []

    segment.write_bytes(on_disk)
    position = Position(created=True)
    position.acknowledged[Service.RUNS] = known
    outbox.spool.folder.write_position(position)
    third = Delivery(location)
    third.adopt(outbox.spool.folder)

    assert finished(third)
    assert append_server.only_run().kinds()[-2:] == ["state", "closed"]
    third.stop()


def spooled(location: Location, run_id: str, message: str) -> Outbox:
    identity = Identity(run_id, "sdk-1", server=location.destination, abandoned=Abandoned.CRASHED)
    folder = SpoolFolder.of(location.home, identity)
    outbox = Outbox(folder, identity, create=create(run_id))
    outbox.log(lines(message))
    return outbox


def progress(message: str) -> RunReport:
    report = RunReport()
    report.progress.message = message
    return report


def stored_run() -> StoredRun:
    return StoredRun(Run(run_id=RUN))


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
