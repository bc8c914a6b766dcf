"""What ends a run, and what that is called, whatever comes first."""

from trackside_runner_local.fate import (
    LIMIT_GRACE_SECONDS,
    LINGER_SECONDS,
    MEBIBYTE,
    NEVER,
    Fate,
)


def test_run_that_nobody_ends_has_no_deadline() -> None:
    fate = Fate(100.0, None)

    fate.note_time(1e9)

    assert fate.next_time == NEVER
    assert not fate.is_due(1e9)


def test_stop_tells_first_and_kills_after_the_grace_time() -> None:
    fate = Fate(100.0, None)

    fate.stop(110.0, 7.0)

    assert fate.is_to_be_told
    assert (fate.is_due(116.9), fate.is_due(117.0)) == (False, True)
    assert fate.is_escalating
    assert (fate.on_request, fate.reason) == (True, "")


def test_second_stop_tells_nothing_and_gives_no_more_time() -> None:
    fate = Fate(100.0, None)
    fate.stop(110.0, 7.0)
    fate.note_told()

    fate.stop(115.0, 600.0)
    assert (fate.is_to_be_told, fate.deadline) == (False, 117.0)

    fate.stop(116.0, 0.5)
    assert (fate.is_to_be_told, fate.deadline) == (False, 116.5)


def test_kill_overtakes_a_stop() -> None:
    fate = Fate(100.0, None)
    fate.stop(110.0, 600.0)

    fate.kill(111.0)

    assert fate.is_due(111.0)
    assert not fate.is_escalating


def test_time_limit_tells_first_and_kills_soon_after() -> None:
    fate = Fate(100.0, 30.0)
    fate.note_time(129.9)
    assert not fate.is_to_be_told

    fate.note_time(130.0)

    assert fate.is_to_be_told
    assert (fate.reason, fate.message) == ("TIME_LIMIT", "the limit is 30 s")
    assert fate.deadline == 130.0 + LIMIT_GRACE_SECONDS
    assert not fate.is_escalating


def test_limit_that_struck_first_gives_the_end_its_name() -> None:
    fate = Fate(100.0, 30.0)
    fate.note_time(130.0)

    fate.stop(131.0, 600.0)
    fate.kill(132.0)

    assert (fate.reason, fate.on_request) == ("TIME_LIMIT", False)
    assert fate.is_due(132.0)


def test_request_that_came_first_gives_the_end_its_name() -> None:
    fate = Fate(100.0, 30.0)
    fate.stop(120.0, 600.0)

    fate.note_time(130.0)
    fate.note_memory(131.0, 2 * MEBIBYTE, MEBIBYTE)

    assert (fate.reason, fate.on_request) == ("", True)
    assert fate.is_due(131.0)


def test_too_much_memory_ends_a_run_at_once() -> None:
    fate = Fate(100.0, None)
    fate.note_memory(101.0, MEBIBYTE, MEBIBYTE)
    assert not fate.is_due(1e9)

    fate.note_memory(102.0, MEBIBYTE * 3 // 2, MEBIBYTE)

    assert fate.is_due(102.0)
    assert fate.reason == "OUT_OF_MEMORY"
    assert fate.message == "its processes held 1.5 MiB, and the limit is 1.0 MiB"


def test_what_the_command_leaves_behind_has_a_little_time() -> None:
    fate = Fate(100.0, 30.0)

    fate.note_end_of_command(110.0)
    fate.note_time(1e9)

    assert fate.deadline == 110.0 + LINGER_SECONDS
    assert fate.is_outlived
    assert fate.reason == ""


def test_what_was_told_to_end_keeps_its_time_when_the_command_ends_at_once() -> None:
    fate = Fate(100.0, None)
    fate.stop(110.0, 60.0)

    fate.note_end_of_command(110.1)

    assert fate.deadline == 170.0
    assert not fate.is_outlived


def test_request_after_the_command_ended_by_itself_did_not_end_it() -> None:
    fate = Fate(100.0, None)
    fate.note_end_of_command(110.0)

    fate.kill(111.0)

    assert not fate.on_request
    assert fate.is_due(111.0)
