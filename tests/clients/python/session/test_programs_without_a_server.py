import random
import time

import pytest

from support.append_server import AppendServer, StoredRun
from support.eventually import eventually
from support.programs import Programs
from trackside.delivery.leftovers import deliver_spools
from trackside.location import Location, discover
from trackside.spool.folder import spools
from trackside.spool.frames import Service
from trackside.spool.reader import SpoolReader
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

pytestmark = pytest.mark.processes


def last_state(stored: StoredRun) -> tuple[int, int, int]:
    (*_, state) = [report.state for report in stored.reports if report.HasField("state")]
    return state.state, state.reason, state.exit_code


def is_closed(server: AppendServer) -> bool:
    return any(stored.producers_closed for stored in server.runs.values())


def points_in_spools(location: Location) -> int:
    return sum(
        frame.items
        for folder in spools(location.home)
        for frame in SpoolReader(folder, Service.METRICS).read()
    )


def test_without_a_server_a_program_ends_as_ever_with_one_warning(
    programs: Programs, append_server: AppendServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_server.stop()
    begun = time.monotonic()

    ended = programs.run(
        """
        import sys, trackside
        with trackside.start_run("p") as run:
            for number in range(100):
                run.log(x=number)
                print(number)
            sys.exit(5)
        """
    )

    assert ended.code == 5
    assert time.monotonic() - begun < 30  # as long as it waits for a server that takes things
    assert len(ended.errors.splitlines()) == 1
    assert "`trackside sync`" in ended.errors
    append_server.start()
    for name, value in programs.environment().items():
        monkeypatch.setenv(name, value)
    report = deliver_spools(discover())
    stored = append_server.only_run()
    assert report.delivered == (stored.run.run_id,)
    assert stored.values("x") == [float(number) for number in range(100)]
    assert stored.messages == [str(number) for number in range(100)]
    assert last_state(stored) == (
        RunState.RUN_STATE_FAILED,
        StateReason.STATE_REASON_EXIT_CODE,
        5,
    )


def test_the_next_program_delivers_what_an_earlier_one_left(
    programs: Programs, append_server: AppendServer
) -> None:
    append_server.stop()
    programs.run("import trackside\nwith trackside.start_run('p') as run: run.log(x=1)")
    append_server.start()

    ended = programs.run(
        """
        import time, trackside
        from trackside.location import discover
        from trackside.spool.folder import spools
        with trackside.start_run("next") as run:
            while len(list(spools(discover().home))) > 1:
                time.sleep(0.02)
        """
    )

    assert (ended.code, ended.errors) == (0, "")
    first, second = sorted(append_server.runs.values(), key=lambda stored: stored.run.name)[::-1]
    assert [first.run.name, second.run.name] == ["p", "next"]
    assert first.values("x") == [1.0]


def test_a_program_that_is_killed_loses_at_most_its_last_moment(
    programs: Programs,
    append_server: AppendServer,
    location: Location,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append_server.stop()
    process = programs.start(
        """
        import itertools, time, trackside
        run = trackside.start_run("p", capture=False)
        for number in itertools.count():
            run.log(x=number)
            run.info(number)
            print(number, flush=True)
            time.sleep(0.001)
        """
    )
    assert process.stdout is not None
    said = 0
    while said < 500:
        said = int(process.stdout.readline())
    eventually(lambda: points_in_spools(location) >= said)
    process.kill()
    process.communicate()
    append_server.start()
    for name, value in programs.environment().items():
        monkeypatch.setenv(name, value)

    reports = [deliver_spools(discover()) for _ in range(2)]

    stored = append_server.only_run()
    count = len(stored.values("x"))
    assert stored.values("x") == [float(number) for number in range(count)]
    assert stored.messages[:count] == [str(number) for number in range(count)]
    assert count >= said
    assert last_state(stored)[:2] == (RunState.RUN_STATE_FAILED, StateReason.STATE_REASON_CRASHED)
    assert [bool(report.delivered) for report in reports] == [True, False]
    assert not list(spools(location.home))


def test_delivering_that_is_killed_over_and_over_repeats_nothing(
    programs: Programs, append_server: AppendServer
) -> None:
    programs.run(
        """
        import time, trackside
        with trackside.start_run("p", capture=False) as run:
            for number in range(30):
                run.log(x=number)
                run.info(number)
                time.sleep(0.06)
        """,
        TRACKSIDE_MODE="offline",
    )
    deliver = """
        from trackside.delivery.leftovers import deliver_spools
        from trackside.location import discover
        print("begun", flush=True)
        deliver_spools(discover())
        """

    for _ in range(10):
        process = programs.start(deliver)
        assert process.stdout is not None
        process.stdout.readline()
        enough = append_server.received_batches + 3
        append_server.wait_for(
            lambda more=enough: append_server.received_batches > more or is_closed(append_server)
        )
        process.kill()
        process.communicate()
    programs.run(deliver)

    stored = append_server.only_run()
    assert stored.values("x") == [float(number) for number in range(30)]
    assert stored.messages == [str(number) for number in range(30)]
    assert stored.producers_closed == 1


def test_a_seeded_program_gets_the_numbers_that_it_gets_alone(
    programs: Programs, append_server: AppendServer
) -> None:
    append_server.stop()

    ended = programs.run(
        """
        import random, trackside
        random.seed(7)
        with trackside.start_run("p", capture=False) as run:
            run.log(x=1)
            run.flush(timeout=1.0)  # it is tried meanwhile, again and again
        print(random.random())
        """
    )

    assert ended.output == f"{random.Random(7).random()}\n"  # noqa: S311 - what is compared
