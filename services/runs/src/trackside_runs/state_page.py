"""The page `docs/states.md`, made from the state graph; `python -m trackside_runs.state_page`."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

from trackside_protos.runs.v1.run_state_pb2 import (
    ConditionInfo,
    ConditionKind,
    RunStateInfo,
    Severity,
    StateReason,
    StateReasonInfo,
    TaskStateInfo,
)
from trackside_runs.state_meanings import state_graph
from trackside_runs.states import FINAL_RUN_STATES, RUN_TRANSITIONS, run_state_name

_INTRODUCTION: Final = """# States of runs and tasks

Made by `python -m trackside_runs.state_page` from the tables that every writer goes through;
`RunsService.GetStateGraph` serves the same. A run moves only forward and may skip phases that
its engine does not show. A report that comes late (RUNNING after COMPLETED) is recorded and
ignored. IDLE counts as ended, by its outcome, for parents and waits.

A run moves along the arrows, and may go several at once:"""


def render_markdown() -> str:
    """Return the page, with a newline at its end."""
    graph = state_graph()
    parts = [
        _INTRODUCTION,
        _diagram(),
        "## States of a run",
        _table(
            ("State", "Meaning", "Severity", "Charged", "May be followed by", "What to do"),
            map(_run_state_row, graph.run_states),
        ),
        "## Conditions of a run",
        "Facts beside the state that come and go.",
        _table(
            ("Condition", "Meaning", "Severity", "Charged", "What to do"),
            map(_condition_row, graph.conditions),
        ),
        "## Reasons of a run's state",
        _table(("Reason", "Beside", "Meaning"), map(_reason_row, graph.reasons)),
        "## States of a task",
        "Within one attempt; after FAILED a further attempt may follow, with a higher number.",
        _table(
            ("State", "Meaning", "Severity", "May be followed by"),
            map(_task_state_row, graph.task_states),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _diagram() -> str:
    # What several arrows lead to is legal too, so those shortcuts are not drawn.
    arrows = [
        f"    {run_state_name(state)} --> {run_state_name(after)}"
        for state, following in RUN_TRANSITIONS.items()
        for after in following
        if not any(after in RUN_TRANSITIONS[between] for between in following)
    ]
    ends = [f"    {run_state_name(state)} --> [*]" for state in sorted(FINAL_RUN_STATES)]
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> PENDING", *arrows, *ends, "```"]
    return "\n".join(lines)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _run_state_row(info: RunStateInfo) -> Sequence[str]:
    following = ", ".join(map(run_state_name, info.next_states)) or "nothing: it is final"
    return (
        run_state_name(info.state),
        info.meaning,
        _severity(info.severity),
        _yes(is_so=info.charged),
        following,
        info.advice,
    )


def _condition_row(info: ConditionInfo) -> Sequence[str]:
    name = ConditionKind.Name(info.kind).removeprefix("CONDITION_KIND_")
    charged = _yes(is_so=info.charged)
    return (name, info.meaning, _severity(info.severity), charged, info.advice)


def _reason_row(info: StateReasonInfo) -> Sequence[str]:
    name = StateReason.Name(info.reason).removeprefix("STATE_REASON_")
    return (name, ", ".join(map(run_state_name, info.states)), info.meaning)


def _task_state_row(info: TaskStateInfo) -> Sequence[str]:
    following = ", ".join(info.next_states) or "nothing: it is final"
    return (info.state, info.meaning, _severity(info.severity), following)


def _severity(severity: Severity.ValueType) -> str:
    return Severity.Name(severity).removeprefix("SEVERITY_").lower()


def _yes(*, is_so: bool) -> str:
    return "yes" if is_so else "no"


if __name__ == "__main__":
    sys.stdout.write(render_markdown())
