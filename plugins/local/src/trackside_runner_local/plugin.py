"""Offers the local runner to Trackside."""

import os

from trackside_plugin_interface import Runner, hookimpl
from trackside_runner_local.runner import LocalRunner, slots


@hookimpl
def trackside_runners() -> list[Runner]:
    """Return the local runner."""
    return [LocalRunner(capacity=slots(os.environ))]
