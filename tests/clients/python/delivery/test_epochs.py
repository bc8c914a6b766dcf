import pytest

from support.append_server import AppendServer, StoredRun
from support.deliveries import RUN, finished, lines, open_run
from trackside.delivery.delivery import Delivery
from trackside.identifiers import new_identifier
from trackside.location import Location
from trackside.spool.folder import spools
from trackside_protos.runs.v1.run_pb2 import Run


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
    assert before.flush(60)
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


def stored_run() -> StoredRun:
    return StoredRun(Run(run_id=RUN))
