"""LiveService as a process of its own: `python -m trackside_live`."""

import sys

from trackside_live.servicer import LiveServicer
from trackside_serving.apart import Built, Surroundings, run_apart
from trackside_serving.places import LIVE, LOGS, METRICS, RUNS


class _Nothing:
    """LiveService owns nothing, so nothing works behind it."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass


def build(surroundings: Surroundings) -> Built:
    """Return the service over the watches of the other three."""
    servicer = LiveServicer(
        run=surroundings.remote(RUNS).stream_for_caller(f"/{RUNS}/WatchRun"),
        logs=surroundings.remote(LOGS).stream_for_caller(f"/{LOGS}/WatchLogs"),
        metrics=surroundings.remote(METRICS).stream_for_caller(f"/{METRICS}/WatchMetrics"),
    )
    return Built(_Nothing(), [servicer], store="none")


if __name__ == "__main__":
    sys.exit(run_apart(LIVE, build))
