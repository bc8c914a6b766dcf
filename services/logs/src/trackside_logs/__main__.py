"""LogsService as a process of its own: `python -m trackside_logs`."""

import sys

from trackside_journal.apart import surroundings_apart
from trackside_logs.bootstrap import LogsService
from trackside_serving.apart import Built, Surroundings, run_apart
from trackside_serving.places import LOGS


def build(surroundings: Surroundings) -> Built:
    """Return the service."""
    service = LogsService(surroundings_apart(surroundings))
    return Built(service, [service], service.database.description)


if __name__ == "__main__":
    sys.exit(run_apart(LOGS, build))
