"""Discovery: one faulty plugin costs only itself."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from trackside_plugin_interface import find_runners

HOOK = "from trackside_plugin_interface import hookimpl\n@hookimpl\n"
PLUGIN = """
from trackside_plugin_interface import Runner, hookimpl

class Some(Runner):
    name = {name!r}
    capacity = {capacity}
    async def launch(self, spec, reporter): ...
    async def adopt(self, handle, reporter): ...
    async def kill(self, handle): ...

@hookimpl
def trackside_runners():
    return {returned}
"""


class Plugins:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.points: list[EntryPoint] = []

    def add(self, source: str) -> str:
        module = f"made_up_plugin_{len(self.points)}_{self.folder.name}".replace("-", "_")
        (self.folder / f"{module}.py").write_text(source)
        name = f"plugin{len(self.points)}"
        self.points.append(EntryPoint(name, module, "trackside"))
        return name

    def offering(self, name: str, *, capacity: int = 3, returned: str = "[Some()]") -> str:
        return self.add(PLUGIN.format(name=name, capacity=capacity, returned=returned))


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Plugins]:
    sys.path.insert(0, str(tmp_path))
    yield Plugins(tmp_path)
    sys.path.remove(str(tmp_path))


def test_installed_local_runner_is_found() -> None:
    found = find_runners()

    assert found.runners["local"].name == "local"
    assert found.plugins["local"] == "local"


def test_runner_of_a_plugin_is_found_with_its_plugin(plugins: Plugins) -> None:
    name = plugins.offering("some-engine")

    found = find_runners(plugins.points)

    assert found.plugins == {"some-engine": name}
    assert found.runners["some-engine"].capacity == 3
    assert found.faults == []


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ("this is no Python", "SyntaxError"),
        (
            HOOK + "def trackside_engines(): return []",
            "trackside_engines",
        ),
        (
            HOOK + "def trackside_runners(): raise OSError('no room')",
            "OSError: no room",
        ),
        (
            HOOK + "def trackside_runners(): return ['local']",
            "'local', which is no trackside_plugin_interface.Runner",
        ),
        (PLUGIN.format(name="Big Name", capacity=1, returned="[Some()]"), "'Big Name'"),
        (PLUGIN.format(name="none", capacity=0, returned="[Some()]"), "capacity 0"),
        (PLUGIN.format(name="two", capacity=1, returned="[Some(), Some()]"), "two runners"),
    ],
)
def test_faulty_plugin_is_named_and_costs_only_itself(
    plugins: Plugins, source: str, part: str
) -> None:
    faulty = plugins.add(source)
    plugins.offering("fine")

    found = find_runners(plugins.points)

    assert list(found.runners) == ["fine"]
    assert [fault.plugin for fault in found.faults] == [faulty]
    assert part in found.faults[0].message


def test_of_two_runners_of_one_name_neither_is_used(plugins: Plugins) -> None:
    rivals = [plugins.offering("same"), plugins.offering("same")]
    plugins.offering("other")

    found = find_runners(plugins.points)

    assert list(found.runners) == ["other"]
    assert [(fault.plugin, fault.runner) for fault in found.faults] == [
        (rival, "same") for rival in rivals
    ]
    assert all(rival in found.faults[0].message for rival in rivals)
