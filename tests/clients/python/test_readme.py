import re
from pathlib import Path

import pytest

from support.reporting import append_server, location, reporting
from trackside.location import Location

pytestmark = pytest.mark.processes

__all__ = ["append_server", "location", "reporting"]

ROOT = Path(__file__).parents[3]
EXAMPLES = [
    example
    for page in ("README.md", "clients/python/README.md")
    for example in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(
    example: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reporting: Location
) -> None:
    assert reporting.home == tmp_path
    monkeypatch.chdir(tmp_path)

    exec(example, {})  # noqa: S102 - our own page
