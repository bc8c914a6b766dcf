"""What every test can use: the fixtures of `support`, and the markers that follow from them."""

import signal
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["support.database", "support.postgresql_server", "support.redis_server"]

MARKERS: Final = {
    "postgresql_server": pytest.mark.postgresql,
    "redis_server": pytest.mark.redis,
}

PATIENT: Final = (
    "end_to_end",
    "exhaustive",
    "integrations",
    "postgresql",
    "processes",
    "redis",
    "slow",
)
"""Markers of tests that depend on other processes, or have much to do."""

PATIENT_SECONDS: Final = 120


# How long an example takes depends on who else uses the machine. The examples are the same each
# time, or luck would say whether a change passes; to look for others there is a profile of its own.
settings.register_profile(
    "shared", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("shared"), max_examples=15)
settings.register_profile("exploring", settings.get_profile("shared"), derandomize=False)
settings.load_profile("shared")


def pytest_configure() -> None:
    # A shell has what it runs in the background ignore Ctrl-C, and the programs that tests start
    # would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKERS:
                item.add_marker(MARKERS[fixture])
        is_patient = any(item.get_closest_marker(name) for name in PATIENT)
        if is_patient and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(PATIENT_SECONDS))
