"""MetricsService as a process of its own: `python -m trackside_metrics`."""

import sys

from trackside_journal.apart import surroundings_apart
from trackside_metrics.bootstrap import MetricsService
from trackside_protos.runs.v1.runs_service_pb2 import ReportFiguresResponse
from trackside_serving.apart import Built, Surroundings, run_apart
from trackside_serving.places import METRICS, RUNS


def build(surroundings: Surroundings) -> Built:
    """Return the service, which tells RunsService what metrics have come to."""
    report_figures = surroundings.remote(RUNS).call_for_service(
        f"/{RUNS}/ReportFigures", ReportFiguresResponse
    )
    service = MetricsService(surroundings_apart(surroundings), report_figures)
    return Built(service, [service], service.database.description)


if __name__ == "__main__":
    sys.exit(run_apart(METRICS, build))
