"""What the series of runs have come to, as MetricsService tells it: kept in the run's message."""

import math
from collections.abc import Iterable

from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_runs.record import RunRecord
from trackside_runs.storage.ledger import Ledger


def take(ledger: Ledger, told: Iterable[runs_service_pb2.RunFigures]) -> None:
    """Enter the figures of runs; runs that do not exist, and what is older, are passed over."""
    for figures in told:
        record = ledger.find(figures.run_id)
        if record is not None and figures.sequence > record.facts.figures_sequence:
            _take(ledger, record, figures)


def _take(ledger: Ledger, record: RunRecord, told: runs_service_pb2.RunFigures) -> None:
    record.facts.figures_sequence = told.sequence
    record.is_dirty = True
    figures = sorted(told.figures, key=lambda f: (f.key, sorted(f.context.items())))
    for figure in figures:
        _leave_out_what_is_no_number(figure)
    if figures == list(record.message.series_figures):
        return
    ledger.refigure(record)
    del record.message.series_figures[:]
    record.message.series_figures.extend(figures)
    # A change at once, without a touch: a child's figures are no progress of its parent.
    ledger.change_run(record)


def _leave_out_what_is_no_number(figure: run_pb2.SeriesFigure) -> None:
    # A database may not have it, or may think that it is larger than all others.
    if math.isnan(figure.last):
        figure.ClearField("last")
    if math.isnan(figure.best):
        figure.ClearField("best")
