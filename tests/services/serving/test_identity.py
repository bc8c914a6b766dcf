import pytest

from trackside_serving.identity import ANONYMOUS, Caller, Role, may_act, may_report, may_see

RUN, OWNER, PROJECT = "r1", "ada", "alpha"
MINE = Caller(OWNER, Role.USER)
MEMBER = Caller("bob", Role.USER, projects=frozenset({PROJECT}))
STRANGER = Caller("eve", Role.USER, projects=frozenset({"beta"}))
VIEWER = Caller("vera", Role.VIEWER, projects=frozenset({PROJECT}))
OWNING_VIEWER = Caller(OWNER, Role.VIEWER)
REPORTER = Caller(OWNER, Role.REPORTER, run_ids=frozenset({RUN}))
OTHER_REPORTER = Caller(OWNER, Role.REPORTER, frozenset({PROJECT}), frozenset({"r2"}))
AGENT = Caller("agent-1", Role.AGENT)
ADMIN = Caller("root", Role.ADMIN)
SERVICE = Caller("logs", Role.SERVICE)


@pytest.mark.parametrize(
    ("caller", "sees", "acts", "reports"),
    [
        (MINE, True, True, True),
        (MEMBER, True, False, False),
        (STRANGER, False, False, False),
        (VIEWER, True, False, False),
        (OWNING_VIEWER, True, False, False),
        (REPORTER, True, False, True),
        (OTHER_REPORTER, False, False, False),
        (AGENT, True, False, True),
        (ADMIN, True, True, True),
        (SERVICE, True, False, False),
        (ANONYMOUS, False, False, False),
    ],
)
def test_who_may_do_what_with_a_run(
    caller: Caller, *, sees: bool, acts: bool, reports: bool
) -> None:
    assert may_see(caller, run_id=RUN, owner=OWNER, project=PROJECT) is sees
    assert may_act(caller, owner=OWNER) is acts
    assert may_report(caller, run_id=RUN, owner=OWNER) is reports


def test_a_run_without_an_owner_belongs_to_nobody() -> None:
    assert not may_see(ANONYMOUS, run_id=RUN, owner="", project=PROJECT)
    assert not may_act(Caller("", Role.USER), owner="")
