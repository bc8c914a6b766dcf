"""LiveService as a process of its own: `python -m trackside_live`."""

import sys

from trackside_live.revocation_watch import RevocationWatch
from trackside_live.servicer import LiveServicer
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunDirectoryResponse
from trackside_serving.apart import Built, Surroundings, run_apart
from trackside_serving.places import LIVE, LOGS, METRICS, RUNS


def build(surroundings: Surroundings) -> Built:
    """Return the service over the watches of the other three. It has no store."""
    runs = surroundings.remote(RUNS)
    servicer = LiveServicer(
        run=runs.stream_for_caller(f"/{RUNS}/WatchRun"),
        logs=surroundings.remote(LOGS).stream_for_caller(f"/{LOGS}/WatchLogs"),
        metrics=surroundings.remote(METRICS).stream_for_caller(f"/{METRICS}/WatchMetrics"),
    )
    revocations = RevocationWatch(
        runs.stream_for_service(f"/{RUNS}/WatchRunDirectory", WatchRunDirectoryResponse),
        surroundings.credentials.verifier.revocations,
    )
    return Built(revocations, [servicer], store="none")


if __name__ == "__main__":
    sys.exit(run_apart(LIVE, build))
