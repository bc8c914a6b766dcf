from collections.abc import Iterator

import pytest

from support.pages import examples_of
from support.programs import Programs
from support.whole_installation import WholeInstallation
from trackside_agent import detached

pytestmark = pytest.mark.end_to_end


def own_examples() -> list[tuple[str, str]]:
    """Return those that need no other library; each runs for itself, as a script in a file."""
    page = examples_of("docs/sdk.md")
    others = next(n for n, example in enumerate(page) if example.heading == "scikit-learn")
    return [(example.heading, example.code) for example in page[:others]]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeInstallation]:
    folder = tmp_path_factory.mktemp("installation")
    installation = WholeInstallation(folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder))
        installation.start()
        yield installation
        installation.stop()
        detached.stop(installation.home)


@pytest.mark.parametrize(("heading", "code"), own_examples())
def test_each_example_of_the_page_runs_and_its_run_has_completed(
    installation: WholeInstallation, heading: str, code: str
) -> None:
    programs = Programs(installation.home, installation.address, token="")
    program = programs.home.parent / "example.py"
    program.write_text(code)
    before = installation.command("get", "runs", "--all", "-o", "name").out.split()

    ended = programs.run("import runpy; runpy.run_path('example.py', run_name='__main__')")

    assert (ended.code, ended.errors) == (0, ""), heading
    after = installation.command("get", "runs", "--all", "-o", "name").out.split()
    assert len(after) == len(before) + 1
    (made,) = set(after) - set(before)
    assert "COMPLETED" in installation.command("describe", made).out


def test_a_launched_example_prints_what_the_page_says(installation: WholeInstallation) -> None:
    (code,) = (code for _, code in own_examples() if "double-half" in code)
    programs = Programs(installation.home, installation.address, token="")

    ended = programs.run(code.replace("double-half", "once more"))

    assert ended.output.startswith("COMPLETED ['1.0']\n")
