from importlib.metadata import version

from trackside.version import VERSION


def test_version_is_that_of_the_distribution() -> None:
    assert version("trackside") == VERSION
