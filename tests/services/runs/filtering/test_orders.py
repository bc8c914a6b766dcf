import pytest

from trackside_runs.filtering.errors import OrderError
from trackside_runs.filtering.orders import NEWEST_FIRST, RUN_ORDERS, Order, parse_order


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", NEWEST_FIRST),
        ("name", Order("name")),
        (" name  asc ", Order("name")),
        ("state desc", Order("state", descending=True)),
        ("best.accuracy desc", Order("best", descending=True, key="accuracy")),
        ("last.train/loss", Order("last", key="train/loss")),
        ("best.'val acc.' asc", Order("best", key="val acc.")),
    ],
)
def test_an_order_is_a_field_and_perhaps_a_direction(text: str, order: Order) -> None:
    assert parse_order(text, RUN_ORDERS, default=NEWEST_FIRST) == order


@pytest.mark.parametrize(
    "text",
    ["owner", "name down", "name, state", "name desc desc", "NAME", "best", "last.", "best desc"],
)
def test_an_unknown_order_is_refused(text: str) -> None:
    with pytest.raises(OrderError):
        parse_order(text, RUN_ORDERS, default=NEWEST_FIRST)
