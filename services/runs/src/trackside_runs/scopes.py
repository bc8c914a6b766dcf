"""What a report on a scope makes of the scope, and scopes of the run's progress."""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trackside_protos.runs.v1 import change_pb2, run_pb2, scope_pb2
from trackside_runs import estimates
from trackside_runs.estimates import Items
from trackside_runs.record import RunRecord
from trackside_runs.storage.ledger import Ledger
from trackside_runs.storage.scope_book import ScopeEntry

_KIND: Final = change_pb2.RunChange.SCOPE_FIELD_NUMBER


def report_scope(
    ledger: Ledger, record: RunRecord, scope: scope_pb2.Scope, happened: Timestamp, from_: bytes
) -> None:
    """Enter a report on a scope; it replaces what was said of its path.

    Args:
        ledger: The books.
        record: The run.
        scope: As reported; the ledger's from here on.
        happened: When, by its reporter's clock.
        from_: The change's origin.
    """
    book = ledger.scopes(record)
    entry = book.find(scope.path)
    items = Items() if entry is None else Items.decode(entry.items)
    items = items.advanced(scope, happened.ToMilliseconds())
    if not scope.HasField("start_time"):
        scope.start_time.CopyFrom(happened if entry is None else entry.scope.start_time)
    _note_estimates(scope, items)
    book.put(ScopeEntry(scope, items.encode(), 0 if entry is None else entry.ordinal))
    ledger.change(record, _KIND, scope, from_)
    record.touch()


def refresh_progress(ledger: Ledger, record: RunRecord) -> None:
    """Set a run's progress from its scopes, after a batch of reports on them."""
    entries = ledger.scopes(record).newest()
    if record.message.is_parent or record.is_ended or not entries:
        return
    # Only of what is open are the durations asked.
    told = [
        (entry.scope, Items() if entry.scope.HasField("end_time") else Items.decode(entry.items))
        for entry in entries
    ]
    note_estimate(record.message.progress, estimates.run_estimate(told))
    latest = max(entries, key=lambda entry: (not entry.scope.HasField("end_time"), entry.ordinal))
    if latest.scope.message:
        record.message.progress.message = latest.scope.message
    record.touch()


def note_end(ledger: Ledger, record: RunRecord, *, is_completed: bool) -> None:
    """Set how far a run came that has ended just now; a parent's children tell that of it."""
    progress = record.message.progress
    progress.ClearField("remaining_duration")
    if is_completed and progress.HasField("percent"):
        progress.percent = 100.0
    elif record.facts.scope_count and not record.message.is_parent:
        scopes = [entry.scope for entry in ledger.scopes(record).newest()]
        note_estimate(progress, estimates.Estimate(estimates.percent_done(scopes)))


def note_estimate(progress: run_pb2.Progress, estimate: estimates.Estimate) -> None:
    """Set the percent and the remaining time; what is not known is absent."""
    progress.ClearField("percent")
    progress.ClearField("remaining_duration")
    if estimate.percent is not None:
        progress.percent = estimate.percent
    if estimate.remaining_ms is not None:
        progress.remaining_duration.CopyFrom(_duration(estimate.remaining_ms))


def _note_estimates(scope: scope_pb2.Scope, items: Items) -> None:
    for name in ("percent", "median_item_duration", "remaining_duration"):
        scope.ClearField(name)
    estimate = estimates.scope_estimate(scope, items)
    if estimate.percent is not None:
        scope.percent = estimate.percent
    if items.median_ms is not None:
        scope.median_item_duration.CopyFrom(_duration(items.median_ms))
    if estimate.remaining_ms is not None:
        scope.remaining_duration.CopyFrom(_duration(estimate.remaining_ms))


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration
