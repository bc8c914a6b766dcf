"""Creating runs: one, or a parent with the children of its grid.

Idempotent on the run id and the external key: the digest of the request tells a repeated
request from another one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.struct_pb2 import Value

from trackside_protos.runs.v1 import provenance_pb2, run_pb2, run_state_pb2, runs_service_pb2
from trackside_runs import lifecycle, masking, naming, offers
from trackside_runs.errors import ParentClosedError, RunConflictError
from trackside_runs.identifiers import new_identifier
from trackside_runs.record import RunFacts, RunRecord
from trackside_runs.storage.ledger import Ledger
from trackside_serving.errors import (
    InvalidFieldError,
    NotAllowedError,
    RunDeletedError,
    RunNotFoundError,
)
from trackside_serving.identity import Caller, may_act, may_see

_State: Final = run_state_pb2.RunState
_Reason: Final = run_state_pb2.StateReason
_HEARTBEAT_SECONDS: Final = 10
_DEFAULT_PROJECT: Final = "default"
_LARGE_PARTS: Final = ("provenance", "launch", "sweep")
_OUTPUT_ONLY: Final = (
    "owner", "state", "state_reason", "state_message", "engine_state", "conditions", "actions",
    "outcome", "session_id", "facets", "progress", "children", "task_counts", "error",
    "exit_code", "exit_signal", "create_time", "submit_time", "start_time", "end_time",
    "update_time", "heartbeat_time", "elapsed_duration", "task_duration", "sealed", "sequence",
    "scopes", "closed", "control_requests", "usage", "delete_time", "series_figures", "losses",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Creation:
    """A validated request for a run, and who asks."""

    request: runs_service_pb2.CreateRunRequest
    caller: Caller
    lost_after_seconds: float


@dataclass(frozen=True, slots=True)
class Created:
    """The run, and whether it was there before."""

    run_id: str
    existed: bool


def create(ledger: Ledger, creation: Creation) -> Created:
    """Create a run, or find the one that an earlier request made.

    Raises:
        RunConflictError: The id or external key is another run's.
        RunDeletedError: The id was another run's.
        RunNotFoundError: There is no such parent, or no such run to resume.
        ParentClosedError: The parent takes no more children.
        NotAllowedError: The caller may not act on the parent.
        InvalidFieldError: The parent is none.
    """
    asked = creation.request.run
    digest = request_digest(creation.request)
    existing = _existing(ledger, asked)
    if existing is not None:
        _require_same(existing, digest, creation.caller)
        return Created(existing.run_id, existed=True)
    if ledger.was_deleted(asked.run_id):
        raise RunDeletedError
    parent = _parent(ledger, asked.parent_run_id, creation.caller)
    session_id = _session(ledger, asked.resumed_run_id, creation.caller)
    record = _record(ledger, creation, digest, session_id)
    _enter(ledger, record, asked, parent)
    if asked.HasField("sweep"):
        _make_children(ledger, record, creation)
    return Created(record.run_id, existed=False)


def request_digest(request: runs_service_pb2.CreateRunRequest) -> str:
    """Return what two requests for the same run have in common."""
    plain = runs_service_pb2.CreateRunRequest()
    plain.CopyFrom(request)
    for name in _OUTPUT_ONLY:
        plain.run.ClearField(name)
    plain.run.ClearField("run_id")
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()


def _existing(ledger: Ledger, asked: run_pb2.Run) -> RunRecord | None:
    if asked.run_id:
        record = ledger.find(asked.run_id)
        if record is not None:
            return record
    run_id = ledger.run_id_of_key(asked.external_key) if asked.external_key else None
    return None if run_id is None else ledger.find(run_id)


def _require_same(record: RunRecord, digest: str, caller: Caller) -> None:
    if not _sees(caller, record) or record.facts.request_digest != digest:
        raise RunConflictError


def _parent(ledger: Ledger, run_id: str, caller: Caller) -> RunRecord | None:
    if not run_id:
        return None
    parent = ledger.find(run_id)
    if parent is None or not _sees(caller, parent):
        raise RunNotFoundError
    if not may_act(caller, owner=parent.message.owner):
        raise NotAllowedError
    if not parent.message.is_parent:
        raise InvalidFieldError.of("run.parent_run_id", "that run is no parent")
    if parent.message.closed or parent.is_ended:
        raise ParentClosedError
    return parent


def _session(ledger: Ledger, resumed_run_id: str, caller: Caller) -> str:
    if not resumed_run_id:
        return ""
    resumed = ledger.find(resumed_run_id)
    if resumed is None or not _sees(caller, resumed):
        raise RunNotFoundError
    return resumed.message.session_id


def _sees(caller: Caller, record: RunRecord) -> bool:
    run = record.message
    return may_see(caller, run_id=run.run_id, owner=run.owner, project=run.project)


def _record(
    ledger: Ledger, creation: Creation, digest: str = "", session_id: str = ""
) -> RunRecord:
    asked = creation.request.run
    run = run_pb2.Run()
    run.CopyFrom(asked)
    for name in (*_OUTPUT_ONLY, *_LARGE_PARTS):
        run.ClearField(name)
    masking.mask_run(run)
    run.run_id = run.run_id or new_identifier()
    run.owner = creation.caller.subject
    run.project = run.project or _DEFAULT_PROJECT
    run.name = run.name or _name(run, asked)
    run.session_id = session_id or run.run_id
    run.state = _State.RUN_STATE_PENDING
    run.create_time.CopyFrom(lifecycle.now(ledger))
    if not run.is_parent and not run.HasField("heartbeat_interval"):
        run.heartbeat_interval.FromSeconds(_HEARTBEAT_SECONDS)
    if not run.is_parent and not run.HasField("lost_after_duration"):
        run.lost_after_duration.FromMilliseconds(round(creation.lost_after_seconds * 1000))
    run.tags[:] = sorted(set(run.tags))
    facts = RunFacts(
        authority=creation.request.producer_id,
        is_launched=asked.HasField("launch") and not asked.is_parent,
        request_digest=digest,
    )
    return RunRecord(run, facts)


def _name(run: run_pb2.Run, asked: run_pb2.Run) -> str:
    # From the masked parameters, but from the command before it is masked: its name is its
    # first words.
    named = run_pb2.Run(
        parent_run_id=run.parent_run_id, parameters=run.parameters, workflow_name=run.workflow_name
    )
    named.launch.command.extend(asked.launch.command)
    named.provenance.command.extend(asked.provenance.command)
    return naming.default_name(named)


def _enter(ledger: Ledger, record: RunRecord, asked: run_pb2.Run, parent: RunRecord | None) -> None:
    run = record.message
    if record.facts.is_launched:
        run.state_reason = _Reason.STATE_REASON_QUEUED
    ledger.add(record)
    _put_details(ledger, record, asked)
    offers.refresh(record)
    if record.facts.is_launched:
        ledger.agents.enqueue(record)
    ledger.change_run(record)
    if parent is not None:
        lifecycle.add_child(parent, record)


def _put_details(ledger: Ledger, record: RunRecord, asked: run_pb2.Run) -> None:
    parts = ledger.parts(record)
    if asked.HasField("provenance"):
        provenance = provenance_pb2.Provenance()
        provenance.CopyFrom(asked.provenance)
        masking.mask_provenance(provenance)
        parts.put_detail("provenance", provenance)
    if asked.HasField("launch"):
        # A parent's is a template. With masked parameters, for a secret that stands in a
        # command need not look like one.
        is_template = record.message.is_parent
        shown, whole = run_pb2.Launch(), asked.launch
        shown.CopyFrom(asked.launch)
        if not is_template:
            whole = naming.substituted(asked.launch, asked.parameters)
            shown = naming.substituted(asked.launch, record.message.parameters)
        masking.mask_launch(shown)
        parts.put_detail("launch", shown)
        if not is_template and whole != shown:
            record.facts.has_secrets = True
            parts.put_detail("secret_launch", whole)
    if asked.HasField("sweep"):
        masked = run_pb2.Run(sweep=asked.sweep)
        masking.mask_run(masked)
        parts.put_detail("sweep", masked.sweep)


def _make_children(ledger: Ledger, parent: RunRecord, creation: Creation) -> None:
    asked = creation.request.run
    parent.message.children.parallelism = asked.sweep.parallelism
    grid = list(naming.expand(asked.sweep))
    # They share one create time, by which lists are ordered, so their ids keep the grid's order.
    ids = sorted(new_identifier() for _ in grid)
    for run_id, parameters in zip(ids, grid, strict=True):
        child = _child(parent, asked, run_id, parameters)
        request = runs_service_pb2.CreateRunRequest(run=child)
        # Without a digest: no request makes such a run.
        record = _record(ledger, Creation(request, creation.caller, creation.lost_after_seconds))
        _enter(ledger, record, request.run, parent)
    parent.touch()
    if asked.sweep.close_after_grid:
        parent.message.closed = True
        offers.refresh(parent)
        lifecycle.end_parent_if_done(ledger, parent)


def _child(
    parent: RunRecord, asked: run_pb2.Run, run_id: str, parameters: Mapping[str, Value]
) -> run_pb2.Run:
    child = run_pb2.Run(
        run_id=run_id,
        project=parent.message.project,
        parent_run_id=parent.run_id,
        runner=asked.runner,
        workflow_name=asked.workflow_name,
        tags=asked.tags,
        labels=asked.labels,
        launch=asked.launch,
    )
    for key, value in {**asked.parameters, **parameters}.items():
        child.parameters[key].CopyFrom(value)
    masked = {key: masking.masked_value(key, value) for key, value in parameters.items()}
    child.name = naming.child_name(masked)
    for name in ("heartbeat_interval", "lost_after_duration"):
        if asked.HasField(name):
            getattr(child, name).CopyFrom(getattr(asked, name))
    return child
