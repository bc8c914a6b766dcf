"""Where each service of an installation listens and keeps its data when they run apart."""

from collections.abc import Mapping
from typing import Final

from trackside_serving.settings import Settings

RUNS: Final = "trackside.runs.v1.RunsService"
RUNNERS: Final = "trackside.runners.v1.RunnersService"
LOGS: Final = "trackside.logs.v1.LogsService"
METRICS: Final = "trackside.metrics.v1.MetricsService"
LIVE: Final = "trackside.live.v1.LiveService"

USUAL_ADDRESSES: Final[Mapping[str, str]] = {
    RUNS: "127.0.0.1:8760",
    RUNNERS: "127.0.0.1:8760",
    LOGS: "127.0.0.1:8761",
    METRICS: "127.0.0.1:8762",
    LIVE: "127.0.0.1:8763",
}


def addresses(settings: Settings) -> dict[str, str]:
    """Return where each service is: as the settings say, else at its usual address."""
    given = {
        RUNS: settings.runs_address,
        RUNNERS: settings.runs_address,
        LOGS: settings.logs_address,
        METRICS: settings.metrics_address,
        LIVE: settings.live_address,
    }
    return {name: given[name] or usual for name, usual in USUAL_ADDRESSES.items()}


def short_name(service: str) -> str:
    """Return `runs` for `trackside.runs.v1.RunsService`."""
    return service.split(".")[1]


def store_url(settings: Settings, service: str) -> str:
    """Return the store of a service: the database of the settings, else a file in the home."""
    path = settings.home / "data" / f"{short_name(service)}.sqlite"
    return settings.database_url or f"sqlite:///{path}"


def store_setting(settings: Settings) -> str:
    """Return the variable that decides where the store is."""
    return "TRACKSIDE_DATABASE_URL" if settings.database_url else "TRACKSIDE_HOME"
