import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from trackside.session.values import struct_of, texts_of, value_of


@pytest.mark.parametrize(
    ("thing", "plain"),
    [
        (None, None),
        (True, True),
        (3, 3.0),
        ("a", "a"),
        ([1, "b"], [1.0, "b"]),
        ((1,), [1.0]),
        ({"a": {"b": [None]}}, {"a": {"b": [None]}}),
        (Path("/x"), "/x"),
        (np.float64(0.5), 0.5),
        (np.int32(7), 7.0),
        (1 << 60, str(1 << 60)),
        (math.inf, "inf"),
        ("\ud800", "?"),
    ],
)
def test_values_have_a_counterpart(thing: object, plain: object) -> None:
    assert MessageToDict(value_of(thing)) == plain


def test_values_that_contain_themselves_end() -> None:
    loop: list[Any] = []
    loop.append(loop)

    assert value_of(loop).list_value.values


def test_keys_become_text() -> None:
    assert MessageToDict(struct_of({1: 2})) == {"1": 2.0}


def test_context_is_bounded() -> None:
    assert len(texts_of({str(n): n for n in range(100)})) == 32
