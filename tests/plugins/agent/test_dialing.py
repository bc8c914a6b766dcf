from itertools import pairwise

from trackside_agent.dialing import FIRST_PAUSE, LONGEST_PAUSE, REPLACED_PAUSE, Pauses


def test_a_server_that_hangs_up_at_once_is_dialled_less_and_less() -> None:
    pauses = Pauses()

    waited = [pauses.after("INTERNAL", has_held=False) for _ in range(9)]

    assert waited[0] == FIRST_PAUSE
    assert all(later == min(2 * earlier, LONGEST_PAUSE) for earlier, later in pairwise(waited))


def test_a_line_that_held_is_dialled_again_soon() -> None:
    pauses = Pauses()
    for _ in range(9):
        pauses.after("UNAVAILABLE", has_held=False)

    assert pauses.after("UNAVAILABLE", has_held=True) == FIRST_PAUSE


def test_an_agent_that_was_replaced_leaves_the_other_alone() -> None:
    assert Pauses().after("AGENT_REPLACED by another", has_held=True) == REPLACED_PAUSE
