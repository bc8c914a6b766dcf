"""What cannot be started is refused, with the reason, and leaves nothing behind."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from support.local_runs import LocalRun
from trackside_plugin_interface import SpecRefusedError
from trackside_runner_local.runner import slots


def refusal(
    folder: Path,
    command: list[str],
    *,
    work_directory: str | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    run = LocalRun(folder, command, work_directory=work_directory, environment=environment)

    with pytest.raises(SpecRefusedError) as caught:
        asyncio.run(run.launch())
    return str(caught.value)


def script(folder: Path, text: str, mode: int) -> str:
    path = folder / "program"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_command_that_is_not_on_the_path_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, ["no-such-program"], environment={"PATH": "/bin:/usr/bin"})

    assert message == "command 'no-such-program' was not found on PATH (/bin:/usr/bin)"


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, ["./no/such"]) == f"command '{tmp_path}/no/such' does not exist"


def test_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, ["/"]) == "command '/' is a directory"


def test_file_that_is_not_executable_is_refused(tmp_path: Path) -> None:
    program = script(tmp_path, "#!/bin/sh\n", stat.S_IRUSR)

    assert refusal(tmp_path, [program]) == f"command '{program}' is not executable"


def test_file_that_the_system_cannot_execute_is_refused(tmp_path: Path) -> None:
    program = script(tmp_path, "no program at all", stat.S_IRWXU)

    assert f"'{program}': Exec format error" in refusal(tmp_path, [program])


def test_interpreter_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    program = script(tmp_path, "#!/no/such/interpreter\n", stat.S_IRWXU)

    message = refusal(tmp_path, [program])

    assert message.endswith(f"'{program}': the interpreter that it names does not exist")


def test_environment_beyond_what_the_system_takes_is_refused(tmp_path: Path) -> None:
    environment = {f"BIG_{number}": "x" * 120_000 for number in range(40)}

    message = refusal(tmp_path, ["/bin/true"], environment=environment)

    assert "'/bin/true': Argument list too long" in message
    assert "command and environment together: 4," in message


@pytest.mark.parametrize("size", [131_072 - len("BIG="), 200_000])
def test_variable_that_is_too_long_for_the_system_is_named(tmp_path: Path, size: int) -> None:
    message = refusal(tmp_path, ["/bin/true"], environment={"BIG": "x" * size})

    assert message.startswith(f"environment variable 'BIG' has {size + 4:,} bytes")


def test_argument_that_is_too_long_for_the_system_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, ["/bin/true", "é" * 100_000])

    assert message.startswith("argument 1 of the command has 200,000 bytes")


async def test_longest_variable_arrives(tmp_path: Path) -> None:
    run = LocalRun.python(
        tmp_path,
        "import os; print(len(os.environ['BIG']))",
        environment={"BIG": "x" * (131_071 - len("BIG="))},
    )

    await run.to_the_end()

    assert run.reporter.output() == b"131067\n"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("relative/folder", "work directory 'relative/folder' is not absolute"),
        ("/no/such/folder", "work directory '/no/such/folder' does not exist"),
        ("/dev/null", "work directory '/dev/null' is no directory"),
    ],
)
def test_work_directory_that_cannot_be_used_is_refused(
    tmp_path: Path, folder: str, message: str
) -> None:
    assert refusal(tmp_path, ["true"], work_directory=folder) == message


def test_places_that_lead_nowhere_are_refused_with_the_systems_word(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    endless = f"{tmp_path}/{'x' * 300}"
    below_a_file = "/dev/null/folder"

    for place, why in [
        (str(circle), "too many levels of symbolic links"),
        (endless, "file name too long"),
        (below_a_file, "not a directory"),
    ]:
        told = refusal(tmp_path, ["true"], work_directory=place)
        assert told == f"work directory {place!r} cannot be reached: {why}"
        assert refusal(tmp_path, [place]) == f"command '{place}' cannot be reached: {why}"


@pytest.mark.parametrize(
    ("command", "environment", "part"),
    [
        ([], {}, "the command is empty"),
        ([""], {}, "the command is empty"),
        (["true", "a\0b"], {}, "NUL"),
        (["true"], {"A=B": "c"}, "'A=B'"),
        (["true"], {"": "c"}, "''"),
        (["true"], {"A": "b\0"}, "'A'"),
    ],
)
def test_what_no_process_can_have_is_refused(
    tmp_path: Path, command: list[str], environment: dict[str, str], part: str
) -> None:
    assert part in refusal(tmp_path, command, environment=environment)


def test_refused_launch_is_refused_again(tmp_path: Path) -> None:
    run = LocalRun(tmp_path, [script(tmp_path, "no program", stat.S_IRWXU)])

    for _ in range(2):
        with pytest.raises(SpecRefusedError):
            asyncio.run(run.launch())


async def test_two_megabytes_of_environment_arrive(tmp_path: Path) -> None:
    environment = {f"BIG_{number}": "x" * 100_000 for number in range(18)}
    run = LocalRun.python(
        tmp_path,
        "import os; print(sum(len(v) for k, v in os.environ.items() if k.startswith('BIG_')))",
        environment=environment,
    )

    await run.to_the_end()

    assert run.reporter.output() == b"1800000\n"


async def test_program_is_found_on_the_path_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    script(folder, "#!/bin/sh\necho mine $1\n", stat.S_IRWXU)
    run = LocalRun(tmp_path, ["program", "one"], environment={"PATH": f"bin:{os.environ['PATH']}"})

    await run.to_the_end()

    assert run.reporter.output() == b"mine one\n"


async def test_without_work_directory_the_home_folder_is_used(tmp_path: Path) -> None:
    run = LocalRun(tmp_path, ["pwd"], work_directory="")

    await run.to_the_end()

    assert run.reporter.output().decode().strip() == str(Path.home().resolve())


def test_slots_are_one_per_processor_and_at_least_two() -> None:
    assert slots({}) == max(2, os.cpu_count() or 1)


def test_slots_follow_the_setting() -> None:
    assert slots({"TRACKSIDE_LOCAL_SLOTS": "7"}) == 7


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5", "²"])
def test_slots_that_are_no_number_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="TRACKSIDE_LOCAL_SLOTS"):
        slots({"TRACKSIDE_LOCAL_SLOTS": text})
