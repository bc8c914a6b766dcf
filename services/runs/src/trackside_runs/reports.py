"""Taking in one batch of reports: each is entered in order, all or none.

Only the authority ends a run. The same word from another producer is advice: it is recorded,
and the facts in it (an exit code, an error) are kept where there are none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from trackside_journal import wire
from trackside_protos.runs.v1 import (
    change_pb2,
    output_deletion_pb2,
    provenance_pb2,
    report_pb2,
    run_pb2,
    run_state_pb2,
)
from trackside_runs import attributes, clock_skew, control, lifecycle, masking, offers
from trackside_runs.errors import IllegalTransitionError
from trackside_runs.record import RunRecord
from trackside_runs.scopes import refresh_progress, report_scope
from trackside_runs.states import (
    ENDED_RUN_STATES,
    FINAL_TASK_STATES,
    Illegal,
    Late,
    decide_report,
    landing,
    run_state_name,
)
from trackside_runs.storage import deletion_orders
from trackside_runs.storage.ledger import Ledger, origin
from trackside_runs.tasks import process_of, report_task

_MOST_LOSSES: Final = 16
_MOST_ITEMS: Final = (1 << 63) - 1
_Change: Final = change_pb2.RunChange
_Condition: Final = run_state_pb2.ConditionKind
_SILENT: Final = frozenset({"heartbeat", "closed", None})
_TAKEN_LATE: Final = frozenset({"output", "gap", "closed", "heartbeat", "control"})


class ReportTaker:
    """Enters the reports of one producer on one run."""

    def __init__(
        self, ledger: Ledger, record: RunRecord, producer_id: str, clock_offset_ms: int = 0
    ) -> None:
        """Set up; the offset is how far the sender's clock is ahead of ours, as far as told."""
        self._ledger = ledger
        self._record = record
        self._producer_id = producer_id
        self._clock_offset_ms = clock_offset_ms
        self._is_authority = producer_id == record.facts.authority
        self._takers: Mapping[str, Callable[[Any, report_pb2.RunReport], None]] = {
            "state": self._take_state,
            "heartbeat": self._take_heartbeat,
            "scope": self._take_scope,
            "task": self._take_task,
            "output": self._take_output,
            "provenance": self._take_provenance,
            "error": self._take_error,
            "progress": self._take_progress,
            "attributes": self._take_attributes,
            "closed": self._take_closed,
            "control": self._take_control,
            "result": self._take_result,
            "gap": self._take_gap,
            "usage": self._take_usage,
            "output_directory": self._take_output_directory,
        }

    def take(self, reports: Sequence[report_pb2.RunReport]) -> None:
        """Enter a batch.

        Raises:
            IllegalTransitionError: One of them names a change that the state graph does not
                know. What was entered before it must be taken back.
            InvalidFieldError: The run would have too many tags, labels or parameters. The
                same holds.
        """
        record = self._record
        told = [(report.WhichOneof("report"), report) for report in reports]
        kinds = {kind for kind, _ in told}
        self._note_presence(reports, kinds)
        self._read_ahead(told)
        for kind, report in told:
            if kind is None:
                continue
            if record.message.sealed and kind not in _TAKEN_LATE:
                self._ignore(report)
            else:
                self._takers[kind](getattr(report, kind), report)
        if "scope" in kinds:
            refresh_progress(self._ledger, record)
        if kinds & {"scope", "task"}:
            offers.refresh(record)

    def _read_ahead(self, told: Sequence[tuple[str | None, report_pb2.RunReport]]) -> None:
        """Read the tasks, processes and scopes of a batch together."""
        if tasks := [report.task for kind, report in told if kind == "task"]:
            book = self._ledger.tasks(self._record)
            book.fetch(task.task_id for task in tasks)
            book.fetch_processes(process_of(task, book.find(task.task_id)) for task in tasks)
        if paths := [report.scope.path for kind, report in told if kind == "scope"]:
            self._ledger.scopes(self._record).fetch(paths)

    def _note_presence(
        self, reports: Sequence[report_pb2.RunReport], kinds: set[str | None]
    ) -> None:
        record, now_ms = self._record, self._ledger.now_ms
        record.is_dirty = True
        record.facts.has_reported = True
        producers = record.facts.open_producers
        if not record.message.sealed and self._producer_id not in producers:
            # Whoever closes with this batch is open until then, or the run would be sealed
            # before the batch ends.
            producers.append(self._producer_id)
        if self._is_authority or not record.facts.authority:
            record.heartbeat_ms = now_ms
            record.clear_conditions(_Condition.CONDITION_KIND_DISCONNECTED)
        if kinds - _SILENT:
            record.report_ms = now_ms
            record.clear_conditions(_Condition.CONDITION_KIND_STALLED)
        self._note_skew(reports)

    def _note_skew(self, reports: Sequence[report_pb2.RunReport]) -> None:
        # What is ahead of us cannot have waited in a spool, so the clock is wrong, whatever was
        # told of it; what is behind may have.
        now_ms = self._ledger.now_ms
        latest = max((report.time.seconds for report in reports), default=0)
        ahead_ms = latest * 1000 - now_ms
        offset_ms = ahead_ms if ahead_ms > clock_skew.LARGEST_OFFSET_MS else self._clock_offset_ms
        if clock_skew.is_far_off(offset_ms):
            is_agents = self._is_authority and self._record.facts.is_launched
            whose = "The agent's" if is_agents else "The program's"
            told = clock_skew.sentence(whose, offset_ms)
            kind = _Condition.CONDITION_KIND_CLOCK_SKEW
            self._record.set_condition(kind, since_ms=now_ms, message=told)

    def _take_state(self, state: report_pb2.StateReport, report: report_pb2.RunReport) -> None:
        run = self._record.message
        decision = decide_report(run.state, state.state)
        if isinstance(decision, Illegal):
            raise IllegalTransitionError(
                what="A run",
                current=run_state_name(run.state),
                reported=run_state_name(state.state),
            )
        is_end = state.state in ENDED_RUN_STATES
        if isinstance(decision, Late) or (is_end and not self._is_authority):
            self._keep_hints(state)
            self._ignore(report)
            return
        is_asked_for = is_end and self._record.is_end_requested
        landed = landing(
            state.state,
            is_protected=run.termination_protection,
            is_end_requested=is_asked_for,
        )
        lifecycle.enter(
            self._ledger,
            self._record,
            lifecycle.Move(
                landed.state,
                self._record.end_reason if is_asked_for else state.reason,
                state.message,
                state.engine_state,
                time=self._time(report),
                producer_id=self._producer_id,
                outcome=landed.outcome,
                exit_code=state.exit_code if state.HasField("exit_code") else None,
                exit_signal=state.exit_signal if state.HasField("exit_signal") else None,
            ),
        )

    def _keep_hints(self, state: report_pb2.StateReport) -> None:
        run = self._record.message
        if run.HasField("exit_code") or run.HasField("exit_signal"):
            return
        if state.HasField("exit_code"):
            run.exit_code = state.exit_code
            self._record.touch()
        if state.HasField("exit_signal"):
            run.exit_signal = state.exit_signal
            self._record.touch()

    def _take_heartbeat(self, beat: report_pb2.Heartbeat, _: report_pb2.RunReport) -> None:
        known = self._record.message.heartbeat_interval
        if self._is_authority and beat.HasField("interval") and beat.interval != known:
            known.CopyFrom(beat.interval)
            self._record.touch()

    def _take_scope(self, scope: Any, report: report_pb2.RunReport) -> None:  # noqa: ANN401
        happened = self._time(report)
        report_scope(self._ledger, self._record, scope, happened, self._origin(report))

    def _take_task(self, task: Any, report: report_pb2.RunReport) -> None:  # noqa: ANN401
        happened = self._time(report)
        # A program may reach us after its launcher's word of the end: what it did counts,
        # but nothing is at work any more.
        is_too_late = self._record.is_ended and task.state not in FINAL_TASK_STATES
        if is_too_late or not report_task(
            self._ledger, self._record, task, happened, self._origin(report)
        ):
            self._ignore(report)

    def _take_output(self, output: Any, report: report_pb2.RunReport) -> None:  # noqa: ANN401
        output.late = self._record.message.sealed
        if not output.HasField("create_time"):
            output.create_time.CopyFrom(self._time(report))
        output.sequence = self._ledger.number(self._record)
        self._ledger.parts(self._record).put_output(output)
        self._ledger.enter(
            self._record,
            output.sequence,
            _Change.OUTPUT_FIELD_NUMBER,
            output.SerializeToString(),
            self._origin(report),
        )
        offers.note_output(self._record, output)

    def _take_provenance(self, provenance: Any, report: report_pb2.RunReport) -> None:  # noqa: ANN401
        parts = self._ledger.parts(self._record)
        known = parts.detail("provenance", provenance_pb2.Provenance)
        for name, _ in provenance.ListFields():
            known.ClearField(name.name)
        known.MergeFrom(provenance)
        masking.mask_provenance(known)
        parts.put_detail("provenance", known)
        self._ledger.change_run(
            self._record,
            self._origin(report),
            extra=wire.bytes_field(run_pb2.Run.PROVENANCE_FIELD_NUMBER, known.SerializeToString()),
        )

    def _take_error(self, error: run_pb2.ErrorReport, report: report_pb2.RunReport) -> None:
        run = self._record.message
        run.error.CopyFrom(error)
        if not run.error.HasField("time"):
            run.error.time.CopyFrom(self._time(report))
        offers.refresh(self._record)
        self._record.touch()

    def _take_progress(self, told: report_pb2.ProgressReport, _: report_pb2.RunReport) -> None:
        self._record.message.progress.message = told.message
        self._record.touch()

    def _take_attributes(self, told: report_pb2.AttributesReport, _: report_pb2.RunReport) -> None:
        attributes.add(self._record.message, told)
        self._ledger.reindex(self._record)
        self._record.touch()

    def _take_closed(self, _: report_pb2.ProducerClosed, __: report_pb2.RunReport) -> None:
        producers = self._record.facts.open_producers
        if self._producer_id in producers:
            producers.remove(self._producer_id)
        lifecycle.seal_if_quiet(self._ledger, self._record)

    def _take_control(self, told: report_pb2.ControlReport, _: report_pb2.RunReport) -> None:
        if self._is_authority:
            control.note_step(self._ledger, self._record, told)

    def _take_result(self, result: run_pb2.ResultSummary, _: report_pb2.RunReport) -> None:
        masking.mask_struct(result.values)
        self._record.message.result.CopyFrom(result)
        self._record.touch()

    def _take_usage(self, usage: run_pb2.Usage, _: report_pb2.RunReport) -> None:
        if self._is_authority:
            self._record.message.usage.CopyFrom(usage)
            self._record.touch()

    def _take_output_directory(
        self, directory: output_deletion_pb2.OutputDirectory, _: report_pb2.RunReport
    ) -> None:
        run = self._record.message
        is_agents = self._is_authority and self._record.facts.is_launched
        if is_agents and not run.HasField("output_directory"):
            run.output_directory.CopyFrom(directory)
            deletion_orders.note_directory(self._ledger.connection, self._record)
            self._record.touch()

    def _take_gap(self, gap: report_pb2.GapReport, report: report_pb2.RunReport) -> None:
        self._ledger.change(self._record, _Change.GAP_FIELD_NUMBER, gap, self._origin(report))
        losses = self._record.message.losses
        known = next((loss for loss in losses if loss.kind == gap.kind), None)
        if known is None:
            if len(losses) >= _MOST_LOSSES:
                return
            known = losses.add(kind=gap.kind)
        known.item_count = min(known.item_count + gap.item_count, _MOST_ITEMS)
        known.size_bytes = min(known.size_bytes + gap.size_bytes, _MOST_ITEMS)
        self._record.touch()

    def _ignore(self, report: report_pb2.RunReport) -> None:
        self._ledger.change(
            self._record, _Change.IGNORED_FIELD_NUMBER, report, self._origin(report)
        )

    def _origin(self, report: report_pb2.RunReport) -> bytes:
        return origin(self._producer_id, report.time if report.HasField("time") else None)

    def _time(self, report: report_pb2.RunReport) -> Timestamp:
        return report.time if report.HasField("time") else lifecycle.now(self._ledger)
