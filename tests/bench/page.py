"""docs/benchmarks.md, and what the README says of it."""

import os
import platform
import re
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.figures import Figure, short, table

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "benchmarks.md"
README: Final = ROOT / "README.md"

_HEADLINE: Final = re.compile(
    r"(?<=<!-- speed: written by make bench -->\n).*?(?=<!-- end -->)", re.DOTALL
)


def write(figures: Sequence[Figure], rounds: int) -> None:
    """Write the page, and the headline into the README."""
    PAGE.write_text(_page(figures, rounds), encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    README.write_text(_HEADLINE.sub(lambda _: _headline(figures), readme), encoding="utf-8")


def _page(figures: Sequence[Figure], rounds: int) -> str:
    missed = [figure.name for figure in figures if not figure.is_met]
    verdict = f"Missed: {', '.join(missed)}." if missed else "All goals are met."
    text = (
        "Written by `make bench`, which runs [tests/bench](../tests/bench/README.md): there stands"
        " how each line is measured, and what the bare program is that it is compared with."
        f" Medians of {rounds} rounds in which both took turns; both store with synchronous FULL."
        f" Machine: {_machine()} ({_processor()}), which the clients share; Python"
        f" {platform.python_version()}; commit {_commit()}. Absolute figures are this machine's;"
        f" the ratios travel. {verdict}"
    )
    return f"# Benchmarks\n\n{_filled(text)}\n{table(figures)}"


def _headline(figures: Sequence[Figure]) -> str:
    named = {figure.name: figure for figure in figures}
    points = named["points taken in, 1,000 a batch"]
    lines = named["log lines taken in, 1,000 a batch"]
    latency = named["producer to watcher, p50, in process"]
    call = named["`run.log` of one value"]
    text = (
        f"{short(points.value)} points or {short(lines.value)} log lines a second are taken in,"
        f" durable, checked and exactly once, on {_machine()} that the producers share:"
        f" {points.judged:.2f} and {lines.judged:.2f} of a bare program that does only what must"
        f" be done. A watcher has them after {latency.value:.1f} ms; `run.log` takes"
        f" {call.value:.1f} µs. [All figures](docs/benchmarks.md)."
    )
    return _filled(text)


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False) + "\n"


def _machine() -> str:
    return f"{os.cpu_count()} processors"


def _processor() -> str:
    models = re.findall(r"model name\s*:\s*(.+)", _read(Path("/proc/cpuinfo")))
    return f"{models[0] if models else platform.machine()}, {platform.system()}"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") if git("rev-list", "-n", "1", "--all") else ""
    return f"{commit or 'none'}{' with changes' if git('status', '--porcelain') else ''}"
