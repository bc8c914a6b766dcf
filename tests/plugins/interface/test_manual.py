"""What is written about the plugin interface is true."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import trackside_plugin_interface
from trackside_plugin_interface import hookspecs
from trackside_plugin_interface.runner import Runner

README = Path(__file__).parents[3] / "plugins" / "README.md"
EXAMPLE = "made_up_plain_plugin"


def test_readme_lists_every_hook_with_its_exact_signature() -> None:
    tree = ast.parse(inspect.getsource(hookspecs))
    hooks = [
        f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.returns is not None
    ]

    listed = re.findall(r"^def trackside_.*$", README.read_text(), re.MULTILINE)

    assert listed == hooks


def test_readme_names_every_method_of_a_runner() -> None:
    text = README.read_text()
    methods = [name for name in vars(Runner) if not name.startswith("_")]

    assert [name for name in methods if f"`{name}`" not in text] == []


def test_public_names_are_pinned() -> None:
    assert sorted(trackside_plugin_interface.__all__) == [
        "DeletionUnsupportedError",
        "Discovery",
        "DoomedOutput",
        "EndReason",
        "Ending",
        "EngineUnavailableError",
        "ErrorReport",
        "FileChangedError",
        "FileGoneError",
        "FileKeptError",
        "FileNotRegularError",
        "FileOutsideError",
        "FileUnreadableError",
        "FolderFile",
        "Handle",
        "JsonValue",
        "LogLevel",
        "Machine",
        "NothingLaunchedError",
        "OpenedFile",
        "OpenedFolder",
        "Output",
        "OutputDirectory",
        "OutputKind",
        "OutputPlace",
        "PROJECT",
        "PluginFault",
        "ReadingUnsupportedError",
        "Reporter",
        "Resources",
        "RunSpec",
        "RunState",
        "Runner",
        "RunnerError",
        "Scope",
        "SpecRefusedError",
        "StateReason",
        "Task",
        "TaskAttempt",
        "TaskState",
        "TaskWait",
        "UnsafeDirectoryError",
        "Usage",
        "find_runners",
        "hookimpl",
    ]


def install_manual_example(folder: Path) -> None:
    manual = inspect.getdoc(trackside_plugin_interface) or ""
    plugin, runner = re.findall(r'^    """.*?(?=^\S)', manual + "\nend", re.DOTALL | re.MULTILINE)
    package = folder / EXAMPLE
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, text in (("plugin", plugin), ("runner", runner)):
        source = textwrap.dedent(text).replace("trackside_runner_plain", EXAMPLE)
        (package / f"{name}.py").write_text(source)
    information = folder / f"{EXAMPLE}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {EXAMPLE}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[trackside]\nplain = {EXAMPLE}.plugin\n")


def run_kit(folder: Path, runner: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--trackside-runner", runner, "-q", "-rN"]
    return subprocess.run(  # noqa: S603 - the command is our own
        [*command, "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:xdist", *options],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.end_to_end
def test_local_runner_keeps_the_contract(tmp_path: Path) -> None:
    outcome = run_kit(tmp_path, "local")

    assert outcome.returncode == 0, outcome.stdout
    assert " passed" in outcome.stdout


@pytest.mark.end_to_end
@pytest.mark.timeout(240)  # what the example cannot do is waited for
def test_example_of_the_manual_lacks_what_the_manual_says(tmp_path: Path) -> None:
    install_manual_example(tmp_path)

    outcome = run_kit(tmp_path, "plain", "--trackside-timeout", "20", "--tb=no", "-rf")

    failed = set(re.findall(r"^FAILED .*::(\w+)", outcome.stdout, re.MULTILINE))
    assert failed == {
        "test_launch_after_a_crash_of_the_host_finds_the_first",
        "test_restarted_host_goes_on_where_it_was",
        "test_kill_leaves_no_process",
        "test_time_limit_holds_with_the_host_away",
        "test_memory_limit_holds_with_the_host_away",
    }, outcome.stdout


@pytest.mark.end_to_end
def test_kit_says_when_there_is_no_such_runner(tmp_path: Path) -> None:
    outcome = run_kit(tmp_path, "nothing", "-x")

    assert outcome.returncode == pytest.ExitCode.USAGE_ERROR
    assert "no runner 'nothing'; there are: local" in outcome.stderr
