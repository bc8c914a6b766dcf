from collections.abc import Iterator

import pytest

from support.reporting import append_server, location, programs, reporting
from trackside.delivery.delivery import Delivery
from trackside.location import Location

__all__ = ["append_server", "location", "programs", "reporting"]


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def delivery(location: Location, warnings: list[str]) -> Iterator[Delivery]:
    made = Delivery(location, on_warning=warnings.append)
    yield made
    made.stop()
