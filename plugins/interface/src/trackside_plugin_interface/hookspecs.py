"""The hooks by which Trackside finds what plugins offer.

Hooks find, classes do: a hook returns objects, and all later calls are plain method
calls that a type checker can follow.
"""

from collections.abc import Iterable
from typing import Final

import pluggy

from trackside_plugin_interface.runner import Runner

PROJECT: Final = "trackside"
"""The pluggy project name, and the entry-point group that plugins use."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def trackside_runners() -> Iterable[Runner]:
    """Return the runners that this plugin offers.

    Called once, when an agent starts. Must not block and must not reach for the network:
    a runner connects when it launches its first run. Of two runners of one name neither
    is used, and the agent names both plugins.
    """
    return ()
