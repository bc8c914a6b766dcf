"""Finds the runners of the installed plugins, such that a faulty plugin costs only itself."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import pluggy

from trackside_plugin_interface import hookspecs
from trackside_plugin_interface.hookspecs import PROJECT
from trackside_plugin_interface.runner import Runner

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class RunnerUnfitError(Exception):
    """What a plugin offers as a runner cannot be used."""


@dataclass(frozen=True, slots=True)
class PluginFault:
    """Why something that a plugin offers cannot be used."""

    plugin: str
    """The name of its entry point."""
    runner: str
    """The name of the runner, when the plugin came far enough to give one."""
    message: str
    """One sentence for people."""


@dataclass(slots=True)
class Discovery:
    """What was found."""

    runners: dict[str, Runner] = field(default_factory=dict[str, Runner])
    """The runners that can be used, by name."""
    plugins: dict[str, str] = field(default_factory=dict[str, str])
    """The plugin that offers each runner, by the runner's name."""
    faults: list[PluginFault] = field(default_factory=list[PluginFault])
    """What cannot be used."""


def find_runners(points: Iterable[EntryPoint] | None = None) -> Discovery:
    """Load all plugins and return the runners that they offer, and what was wrong with others.

    Args:
        points: The plugins' entry points; default: those of all installed packages.
    """
    offers: dict[str, list[tuple[str, Runner]]] = {}
    found = Discovery()
    for point in entry_points(group=PROJECT) if points is None else points:
        try:
            runners = _offered(point)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin does, others go on
            found.faults.append(PluginFault(point.name, "", _sentence(error)))
            continue
        for name, runner in runners.items():
            offers.setdefault(name, []).append((point.name, runner))
    _settle(offers, found)
    return found


def _offered(point: EntryPoint) -> Mapping[str, Runner]:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(point.load(), point.name)
    manager.check_pending()
    results: Sequence[Iterable[Runner]] = manager.hook.trackside_runners()
    runners: dict[str, Runner] = {}
    for runner in (_fit(runner) for result in results for runner in result):
        if runner.name in runners:
            message = f"offers two runners named {runner.name!r}"
            raise RunnerUnfitError(message)
        runners[runner.name] = runner
    return runners


def _fit(runner: object) -> Runner:
    if not isinstance(runner, Runner):
        message = f"offers {runner!r}, which is no trackside_plugin_interface.Runner"
        raise RunnerUnfitError(message)
    if not NAME.fullmatch(runner.name):
        message = (
            f"offers a runner named {runner.name!r}: only lowercase letters, digits and hyphens"
        )
        raise RunnerUnfitError(message)
    if runner.capacity < 1:
        message = f"runner {runner.name!r} has capacity {runner.capacity}: at least 1"
        raise RunnerUnfitError(message)
    return runner


def _settle(offers: Mapping[str, Sequence[tuple[str, Runner]]], found: Discovery) -> None:
    for name, rivals in offers.items():
        if len(rivals) == 1:
            found.plugins[name], found.runners[name] = rivals[0]
            continue
        plugins = " and ".join(plugin for plugin, _ in rivals)
        found.faults.extend(
            PluginFault(plugin, name, f"runner {name!r} is offered by plugins {plugins}")
            for plugin, _ in rivals
        )


def _sentence(error: BaseException) -> str:
    kind = type(error).__name__
    return str(error) if isinstance(error, RunnerUnfitError) else f"{kind}: {error}"
