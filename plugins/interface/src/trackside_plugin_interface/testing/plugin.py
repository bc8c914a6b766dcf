"""Adds `--trackside-runner NAME` to pytest, which then tests that runner against the contract."""

from pathlib import Path
from typing import Final

import pytest

from trackside_plugin_interface.discovery import find_runners

OPTION: Final = "--trackside-runner"
CONTRACT: Final = Path(__file__).with_name("contract")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the kit's options."""
    group = parser.getgroup("trackside", "the contract of Trackside's runners")
    group.addoption(OPTION, metavar="NAME", help="test the installed runner NAME, and nothing else")
    group.addoption(
        "--trackside-timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="how long the engine may take over one run (default: 60)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Collect the contract, beside the paths that the command line names, if any."""
    name = config.getoption(OPTION)
    if name is None:
        return
    found = find_runners()
    if name not in found.runners:
        faults = "".join(f"\nplugin {fault.plugin}: {fault.message}" for fault in found.faults)
        message = f"no runner {name!r}; there are: {', '.join(found.runners)}{faults}"
        raise pytest.UsageError(message)
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    config.args = [*(config.args if named else ()), str(CONTRACT)]
