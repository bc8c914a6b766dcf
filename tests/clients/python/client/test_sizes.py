import pytest

from trackside.client.sizes import size_text


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_540_000, "1.5 MB"),
        (7 * 10**18, "7000.0 PB"),
    ],
)
def test_sizes_have_one_decimal(size: int, shown: str) -> None:
    assert size_text(size) == shown
