import subprocess
import sys

from click.testing import CliRunner

from trackside_standalone.command import up


def test_the_command_is_found_by_the_command_line() -> None:
    program = (
        "from trackside.cli.main import trackside; print(trackside.get_command(None, 'up').name)"
    )

    found = subprocess.run(  # noqa: S603 - the test's own words
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout == "up\n"


def test_its_help_costs_no_import_of_a_service() -> None:
    program = (
        "import sys, trackside_standalone.command\n"
        "print([name for name in sys.modules if name.startswith(('sqlalchemy', 'grpc', 'uvloop'))])"
    )

    imported = subprocess.run(  # noqa: S603 - the test's own words
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert imported.stdout == "[]\n"


def test_the_help_names_the_setting() -> None:
    shown = CliRunner().invoke(up, ["--help"])

    assert "TRACKSIDE_LISTEN" in shown.output
