import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from support.append_server import AppendServer
from support.deliveries import RUN, create, finished, lines, open_run
from trackside.delivery.delivery import LEFTOVERS_AT_ONCE, Delivery
from trackside.delivery.leftovers import deliver_spools
from trackside.delivery.outbox import Outbox
from trackside.delivery.shipment import Load, Shipment
from trackside.identifiers import new_identifier
from trackside.location import Location
from trackside.spool.folder import Abandoned, Identity, Position, SpoolFolder
from trackside.spool.frames import SERVICES, Service
from trackside_protos.runs.v1.report_pb2 import RunReport

pytestmark = pytest.mark.processes


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


def test_what_another_process_has_just_delivered_is_not_delivered_again(
    location: Location,
) -> None:
    outbox = spooled(location, RUN, "a")
    outbox.close()
    folder = outbox.spool.folder
    loads = {service: Load() for service in SERVICES}
    shipment = Shipment(folder, outbox.identity, loads)
    folder.remove()
    folder.make()  # the lock of who comes too late is a new file, in a folder that is not empty

    assert not shipment.hold()
    assert not folder.path.exists()


def test_a_delivery_that_was_stopped_takes_nothing_from_others(location: Location) -> None:
    folder = spooled(location, RUN, "a").spool.folder
    delivery = Delivery(location)
    delivery.stop()

    assert not delivery.adopt(folder)

    lock = folder.lock_for_delivery()
    assert lock is not None
    lock.release()


def test_a_delivery_that_could_not_begin_lets_go_of_what_it_had(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    folder = spooled(location, RUN, "a").spool.folder
    delivery = Delivery(location)
    assert delivery.adopt(folder)

    delivery.stop()

    lock = folder.lock_for_delivery()
    assert lock is not None
    lock.release()


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


def test_a_copied_spool_tells_no_crash_while_the_program_of_the_original_lives(
    location: Location, append_server: AppendServer, tmp_path: Path
) -> None:
    outbox = spooled(location, RUN, "first")
    away = replace(location, home=tmp_path / "away")
    shutil.copytree(location.home / "spool", away.home / "spool")

    alive = deliver_spools(away)
    told = append_server.only_run().kinds()
    outbox.spool.close()  # as when it is killed
    gone = deliver_spools(away)

    assert (alive.running, alive.delivered, told) == ((RUN,), (), [])
    assert (gone.running, gone.delivered) == ((), (RUN,))
    assert append_server.only_run().kinds() == ["state", "closed"]


def test_a_copy_tells_no_crash_while_its_original_has_more(
    location: Location, append_server: AppendServer, tmp_path: Path
) -> None:
    outbox = spooled(location, RUN, "first")
    copy = tmp_path / "copy"
    shutil.copytree(location.home / "spool", copy)
    outbox.log(lines("last"))
    outbox.close()

    early = deliver_spools(location, [copy])
    told = append_server.only_run().kinds()
    late = deliver_spools(location)

    assert (early.delivered, early.remaining, told) == ((), (RUN,), [])
    assert str(outbox.spool.folder.path) in " ".join(early.warnings)
    assert late.delivered == (RUN,)
    assert append_server.only_run().messages == ["first", "last"]
    assert append_server.only_run().kinds() == ["closed"]


def test_original_and_copy_tell_of_a_crash_at_the_time_of_the_last_words(
    location: Location, append_server: AppendServer, tmp_path: Path
) -> None:
    outbox = spooled(location, RUN, "first")
    last = lines("last")
    last[0].time.FromSeconds(1_700_000_000)
    outbox.log(last)
    outbox.spool.close()
    copy = tmp_path / "copy"
    shutil.copytree(location.home / "spool", copy)
    for file in copy.rglob("*.segment"):
        os.utime(file, (5e8, 5e8))  # as one that was copied at another time

    reports = [deliver_spools(location), deliver_spools(location, [copy])]

    assert [one.delivered for one in reports] == [(RUN,), (RUN,)]
    assert [one.warnings for one in reports] == [(), ()]
    told = append_server.only_run()
    assert told.kinds() == ["state", "closed"]
    assert {one.time.ToSeconds() for one in told.reports} == {1_700_000_000}


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
    assert first.flush(60)
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


def test_large_batches_behind_those_that_the_server_has_already_are_not_taken_for_delivered(
    location: Location,
) -> None:
    outbox = spooled(location, RUN, "first")
    for _ in range(9):  # each more than is read at once
        outbox.log(lines("x" * (300 << 10)))
    outbox.spool.close()
    shipment = Shipment(outbox.spool.folder, outbox.identity, {s: Load() for s in SERVICES})
    shipment.hold()
    shipment.set_created(created=True)
    lane = shipment.lanes[Service.LOGS]
    lane.next_request()

    shipment.acknowledge(Service.LOGS, 6)  # where it stood before how far it was could be noted

    assert not shipment.is_delivered()
    assert [frame.sequence for frame in lane.loaded] == [7]
    shipment.let_go()


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
