"""What silence means: a pure decision from receive times and the time that this server was up.

Every time is in milliseconds of one clock that only goes forward, the clock by which the
caller noted when messages came; producers' clocks play no part. Silence counts only while
this server was up to hear, so a restart never makes a run DISCONNECTED or LOST.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason
from trackside_runs.states import ENDED_RUN_STATES, FINAL_RUN_STATES, RunStateValue


@dataclass(frozen=True, slots=True)
class Timings:
    """How long what silence is borne."""

    missed_beats: int = 3
    """After how many missed beats a run is DISCONNECTED."""
    stalled_after_ms: int = 5 * 60_000
    """How long only heartbeats come after the last task until a run is STALLED."""
    never_started_after_ms: int = 60 * 60_000
    """How long nothing at all comes of a created run until it is FAILED."""
    seal_after_ms: int = 30_000
    """How long after its final state a run is sealed, whatever its producers do."""


DEFAULT_TIMINGS: Final = Timings()

DEFAULT_INTERVAL_MS: Final = 10_000
DEFAULT_LOST_AFTER_MS: Final = 24 * 3_600_000

WAITING_REASONS: Final = frozenset(
    {
        StateReason.STATE_REASON_QUEUED,
        StateReason.STATE_REASON_SUBMITTED,
        StateReason.STATE_REASON_WAITING_FOR_INPUT,
        StateReason.STATE_REASON_WAITING_FOR_RESOURCES,
    }
)
"""The reasons of a PENDING run that waits for an agent or engine: it may wait for ever."""


class Presence(Enum):
    """What kind of silence a run can suffer."""

    NONE = auto()
    """Nothing is expected of it: it is over, a parent, or waits for an agent."""
    WAITING = auto()
    """Somebody has it, but it waits for an engine: it may wait for ever."""
    UNHEARD = auto()
    """It was created to report by itself, and has not yet."""
    BEATING = auto()
    """Its authority promised to be heard from regularly."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a run, by the server's clock."""

    state: RunStateValue
    reason: StateReason.ValueType
    is_parent: bool
    has_authority: bool
    """Whether somebody has it: a producer, or the agent that took it."""
    has_reported: bool
    """Whether anything was ever reported of it."""
    create_ms: int
    heard_ms: int
    """When its authority was last heard from; at first, when it was created or taken."""
    report_ms: int
    """When anything but a heartbeat last came, from whomever; at first, its creation."""
    interval_ms: int = DEFAULT_INTERVAL_MS
    """The promised time between two beats; 0: none was promised."""
    lost_after_ms: int = DEFAULT_LOST_AFTER_MS
    task_count: int = 0
    open_task_count: int = 0
    final_ms: int = 0
    """When its final state was stored; 0 before."""
    open_producer_count: int = 0
    """How many producers have reported and not closed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What holds of a run now; the caller stores what differs, by compare-and-set."""

    is_disconnected: bool = False
    is_stalled: bool = False
    failure: StateReason.ValueType = StateReason.STATE_REASON_UNSPECIFIED
    """LOST or NEVER_STARTED if the run is to be FAILED for it; else unspecified."""
    is_to_be_sealed: bool = False
    look_again_ms: int | None = None
    """When this may change by silence alone; None: never."""


def assess(
    facts: Facts, *, now_ms: int, up_since_ms: int, timings: Timings = DEFAULT_TIMINGS
) -> Verdict:
    """Return what a run's silence means now.

    Args:
        facts: What is known of it.
        now_ms: The present.
        up_since_ms: Since when this server has been hearing without a break.
        timings: How long what silence is borne.
    """
    if facts.state in FINAL_RUN_STATES:
        return _after_the_end(facts, now_ms, timings)
    presence = _presence(facts)
    if presence is Presence.NONE:
        return Verdict()
    deadlines = _deadlines(facts, presence, up_since_ms, timings)
    is_due = {name: now_ms >= deadline for name, deadline in deadlines.items()}
    failure = _failure(is_due)
    if failure:
        return Verdict(is_disconnected=is_due.get("disconnected", False), failure=failure)
    return Verdict(
        is_disconnected=is_due.get("disconnected", False),
        is_stalled=is_due.get("stalled", False),
        look_again_ms=min((d for d in deadlines.values() if d > now_ms), default=None),
    )


def _after_the_end(facts: Facts, now_ms: int, timings: Timings) -> Verdict:
    if not facts.open_producer_count or now_ms >= facts.final_ms + timings.seal_after_ms:
        return Verdict(is_to_be_sealed=True)
    return Verdict(look_again_ms=facts.final_ms + timings.seal_after_ms)


def _presence(facts: Facts) -> Presence:
    if facts.is_parent or facts.state in ENDED_RUN_STATES or not facts.has_authority:
        return Presence.NONE
    if facts.has_reported:
        return Presence.BEATING
    is_waiting = facts.state == RunState.RUN_STATE_PENDING and facts.reason in WAITING_REASONS
    return Presence.WAITING if is_waiting else Presence.UNHEARD


def _deadlines(
    facts: Facts, presence: Presence, up_since_ms: int, timings: Timings
) -> Mapping[str, int]:
    silent_since = max(facts.heard_ms, up_since_ms)
    deadlines: dict[str, int] = {}
    if facts.interval_ms > 0:
        deadlines["disconnected"] = silent_since + timings.missed_beats * facts.interval_ms
    if presence is Presence.UNHEARD:
        begin = max(facts.create_ms, up_since_ms)
        deadlines["never started"] = begin + timings.never_started_after_ms
    if presence is Presence.BEATING:
        deadlines["lost"] = silent_since + facts.lost_after_ms
        if facts.task_count and not facts.open_task_count:
            deadlines["stalled"] = max(facts.report_ms, up_since_ms) + timings.stalled_after_ms
    return deadlines


def _failure(is_due: Mapping[str, bool]) -> StateReason.ValueType:
    if is_due.get("never started"):
        return StateReason.STATE_REASON_NEVER_STARTED
    if is_due.get("lost"):
        return StateReason.STATE_REASON_LOST
    return StateReason.STATE_REASON_UNSPECIFIED
