"""A run as the service holds it: the message that people see, and facts that they do not."""

import json
from dataclasses import dataclass, field, fields
from typing import Final

from trackside_protos.runs.v1 import run_pb2, run_state_pb2
from trackside_runs.states import ENDED_RUN_STATES, FINAL_RUN_STATES


@dataclass(slots=True)
class RunFacts:
    """What the service must remember of a run beside its message."""

    authority: str = ""
    """The producer that may end it; empty while no agent has taken it, and in a parent."""
    has_reported: bool = False
    """Whether anything was ever reported of it."""
    is_launched: bool = False
    """Whether an agent executes it."""
    has_secrets: bool = False
    """Whether the launch that its agent is given is kept beside the one that is shown."""
    open_producers: list[str] = field(default_factory=list[str])
    """The producers that have reported and not closed."""
    request_digest: str = ""
    """The SHA-256 of the request that created it, to tell a repeated request from another."""
    end_requested_by: str = ""
    """Who had it ended, once that was accepted; the latest, if a kill overtook a stop."""
    end_action: int = 0
    """What was accepted to end it: the `RunAction` STOP or KILL; 0: nothing."""
    forced_by: str = ""
    """Who had it ended without proof."""
    final_ms: int = 0
    """When its final state was stored, by the server's clock."""
    task_count: int = 0
    """How many tasks it has had, which numbers them."""
    process_count: int = 0
    """How many processes it has had, which numbers them."""
    scope_count: int = 0
    """How many scopes it has had, which numbers them."""
    child_durations_ms: list[int] = field(default_factory=list[int])
    """How long its latest ended children took."""
    running_children: int = 0
    """How many children are running now."""
    completed_children: int = 0
    """How many children ended well."""
    unproven_children: int = 0
    """How many children were to be ended and ended without proof that nothing of them is left."""
    figures_sequence: int = 0
    """The latest block of points that is counted in the figures of its series."""
    open_percent: float = 0.0
    """The sum of the percents of the children that have not ended, as last added up."""

    def encode(self) -> bytes:
        """Return the facts as they are stored."""
        values = {name: getattr(self, name) for name in _FACT_NAMES}
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> "RunFacts":
        """Return stored facts; those that an earlier version did not know have their defaults."""
        return cls(**json.loads(data)) if data else cls()


_FACT_NAMES: Final = tuple(fact.name for fact in fields(RunFacts))


@dataclass(slots=True)
class RunRecord:
    """A run within a transaction, locked."""

    message: run_pb2.Run
    """Without provenance, scopes, launch and sweep."""
    facts: RunFacts
    first_sequence: int = 1
    position: int = 0
    heartbeat_ms: int = 0
    """When its authority was last heard from, by the server's clock."""
    report_ms: int = 0
    """When anything but a heartbeat last came, by the server's clock."""
    is_new: bool = False
    is_touched: bool = False
    """Whether the message has changed since its last change entry."""
    is_dirty: bool = False
    """Whether anything is to be stored."""
    stored_state: int = 0
    """The state in the store."""
    stored_name: str = ""
    """The name in the store."""
    stored_sequence: int = 0
    """The sequence in the store."""
    stored_facts: bytes = b""
    """The encoded facts in the store."""
    encoded: tuple[int, bytes] = (0, b"")
    """The encoded message, and the sequence as of which it is."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.message.run_id

    @property
    def is_ended(self) -> bool:
        """Whether its work is over."""
        return self.message.state in ENDED_RUN_STATES

    @property
    def is_final(self) -> bool:
        """Whether its state never changes again."""
        return self.message.state in FINAL_RUN_STATES

    @property
    def is_end_requested(self) -> bool:
        """Whether a stop or kill was accepted."""
        return self.facts.end_action != 0

    @property
    def end_reason(self) -> run_state_pb2.StateReason.ValueType:
        """Why a run is TERMINATED whose end was asked for."""
        if self.facts.forced_by:
            return run_state_pb2.STATE_REASON_UNCONFIRMED
        if self.facts.end_action == run_state_pb2.RUN_ACTION_STOP:
            return run_state_pb2.STATE_REASON_STOPPED
        return run_state_pb2.STATE_REASON_KILLED

    @property
    def end_message(self) -> str:
        """What there is to say of that to people."""
        if not self.facts.forced_by:
            return ""
        return f"Ended by {self.facts.forced_by} without proof that nothing of it is left."

    @property
    def has_open_tasks(self) -> bool:
        """Whether any task has not ended."""
        counts = self.message.task_counts
        return counts.pending + counts.submitted + counts.running > 0

    @property
    def has_moved(self) -> bool:
        """Whether what lists are ordered by differs from the store."""
        return self.message.state != self.stored_state or self.message.name != self.stored_name

    def touch(self) -> None:
        """Note that the message has changed."""
        self.is_touched = self.is_dirty = True

    def has_condition(self, kind: run_state_pb2.ConditionKind.ValueType) -> bool:
        """Whether a condition holds."""
        return any(condition.kind == kind for condition in self.message.conditions)

    def set_condition(
        self, kind: run_state_pb2.ConditionKind.ValueType, *, since_ms: int, message: str = ""
    ) -> None:
        """Let a condition hold, unless it does."""
        if not self.has_condition(kind):
            condition = self.message.conditions.add(kind=kind, message=message)
            condition.since_time.FromMilliseconds(since_ms)
            self.touch()

    def clear_conditions(self, *kinds: run_state_pb2.ConditionKind.ValueType) -> None:
        """Let conditions no longer hold."""
        kept = [c for c in self.message.conditions if c.kind not in kinds]
        if len(kept) < len(self.message.conditions):
            del self.message.conditions[:]
            self.message.conditions.extend(kept)
            self.touch()
