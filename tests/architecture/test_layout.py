import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("protos", "services", "plugins", "clients", "tests", "deploy", "docs")
NAMES_THAT_SAY_NOTHING = {"common", "utils", "util", "helpers", "core", "shared", "misc", "manager"}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["/usr/bin/env", "git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def modules() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and "gen" not in path.parts]


def test_only_the_rooms_stand_at_the_top_level() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in tracked() if path.parent != ROOT}

    assert folders == {*ROOMS, ".ci"}


def test_no_module_has_a_name_that_says_nothing() -> None:
    offenders = [
        path
        for path in modules()
        if NAMES_THAT_SAY_NOTHING & {path.stem, *path.relative_to(ROOT).parts[:-1]}
    ]

    assert offenders == []


def test_the_readme_describes_every_room() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    missing = [
        room for room in ROOMS if f"[{room}/]" not in readme and f"| {room}/ |" not in readme
    ]

    assert missing == []


@pytest.mark.parametrize("room", ["protos", "services", "plugins", "clients", "deploy"])
def test_every_room_has_a_readme(room: str) -> None:
    assert (ROOT / room / "README.md").read_text(encoding="utf-8").startswith("# ")


def test_the_readme_lists_the_commands_of_make() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    daily = {"run", "test", "test-all", "check", "lint", "bench", "protos", "help"}

    assert daily <= set(targets)
    assert [target for target in sorted(daily) if f"`make {target}`" not in readme] == []


def test_links_between_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in tracked()
        if page.suffix == ".md"
        for target in link.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_nothing_names_a_package_registry() -> None:
    address = re.compile(r"(https?://[^\s\"']*(pypi|npmjs|crates)\.)|--index-url", re.IGNORECASE)
    offenders = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path != Path(__file__)
        and address.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]

    assert offenders == []
