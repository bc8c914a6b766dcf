"""What is changed of a run from outside: its labelling, a parent's closing, what is gone."""

from trackside_protos.runs.v1 import (
    change_pb2,
    output_pb2,
    provenance_pb2,
    run_pb2,
    runs_service_pb2,
)
from trackside_runs import lifecycle, offers
from trackside_runs.errors import ActionNotAllowedError, RunChangedError
from trackside_runs.record import RunRecord
from trackside_runs.states import run_state_name
from trackside_runs.storage.ledger import Ledger
from trackside_runs.validation.run_shapes import MAXIMUM_TAGS
from trackside_serving.errors import InvalidFieldError


def update(ledger: Ledger, record: RunRecord, request: runs_service_pb2.UpdateRunRequest) -> None:
    """Change what the request names. Setting what is set already changes nothing.

    Raises:
        InvalidFieldError: The run would have too many tags.
        RunChangedError: It is not as the caller expected.
    """
    if request.HasField("expected_run"):
        _require_expected(record.message, request)
    values = request.run
    before = run_pb2.Run()
    before.CopyFrom(record.message)
    for path in request.update_mask.paths:
        record.message.ClearField(path)  # pyright: ignore[reportArgumentType]  # validated
        match path:
            case "tags":
                record.message.tags.extend(sorted(set(values.tags)))
            case "labels":
                for key, value in values.labels.items():
                    record.message.labels[key] = value
            case _:
                setattr(record.message, path, getattr(values, path))
    tags = {*record.message.tags, *request.added_tags}.difference(request.removed_tags)
    if len(tags) > MAXIMUM_TAGS:
        raise InvalidFieldError.of("added_tags", f"make more than {MAXIMUM_TAGS} of the run")
    record.message.tags[:] = sorted(tags)
    if record.message != before:
        ledger.reindex(record)
        record.touch()


def _require_expected(run: run_pb2.Run, request: runs_service_pb2.UpdateRunRequest) -> None:
    wanted = _labelling(request.run)
    expected = _labelling(request.expected_run)
    present = _labelling(run)
    for path in request.update_mask.paths:
        # What is wanted already is what an earlier try of the same request has left.
        if getattr(present, path) not in (getattr(expected, path), getattr(wanted, path)):
            raise RunChangedError(path)


def _labelling(run: run_pb2.Run) -> run_pb2.Run:
    """Return what people may change of a run, in the order in which it is kept."""
    return run_pb2.Run(
        name=run.name,
        notes=run.notes,
        tags=sorted(set(run.tags)),
        labels=run.labels,
        description=run.description,
        termination_protection=run.termination_protection,
    )


def close(ledger: Ledger, record: RunRecord, result: run_pb2.ResultSummary | None) -> None:
    """Close a parent to new children; it ends when all have ended.

    Raises:
        ActionNotAllowedError: It is no parent.
    """
    run = record.message
    if not run.is_parent:
        raise ActionNotAllowedError(
            action="CLOSE", state=run_state_name(run.state), why="Only a parent can be closed."
        )
    if result is not None and run.result != result:
        run.result.CopyFrom(result)
        record.touch()
    if not run.closed:
        run.closed = True
        offers.refresh(record)
        record.touch()
        lifecycle.end_parent_if_done(ledger, record)


def note_there(ledger: Ledger, run_id: str, known: output_pb2.Output) -> None:
    """Note that an output is still there, unless it was published anew meanwhile."""
    if (record := ledger.find(run_id)) is not None:
        note_existence(ledger, record, known, exists=True)


def note_gone(ledger: Ledger, run_id: str, known: output_pb2.Output, host: str) -> None:
    """Note that an output is not there any more, as is seen from a host.

    What a program has published on another machine, or in a container, was never to be seen
    from there, and need not be gone.
    """
    record = ledger.find(run_id)
    if record is None:
        return
    provenance = ledger.parts(record).detail("provenance", provenance_pb2.Provenance)
    if provenance.machine.host in {"", host}:
        note_existence(ledger, record, known, exists=False)


def note_existence(
    ledger: Ledger, record: RunRecord, known: output_pb2.Output, *, exists: bool
) -> None:
    """Note whether an output is there, unless it was published anew since it was known."""
    output = ledger.parts(record).output(known.path)
    if output is None or output.sequence != known.sequence or output.exists == exists:
        return
    output.exists = exists
    output.sequence = ledger.number(record)
    ledger.parts(record).put_output(output)
    ledger.enter(
        record,
        output.sequence,
        change_pb2.RunChange.OUTPUT_FIELD_NUMBER,
        output.SerializeToString(),
    )
