"""What options take beside words and numbers: durations, sizes and times."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import click
from typing_extensions import override

from trackside.cli.quantities import QuantityError, duration_of, moment_of, size_of


class Quantity(click.ParamType[Any]):
    """A text that is read as a quantity; what cannot be read is a usage error."""

    def __init__(self, name: str, read: Callable[[str], timedelta | int | datetime]) -> None:
        self.name = name
        self._read = read

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except QuantityError as error:
            self.fail(str(error), param, ctx)


DURATION: Final = Quantity("duration", duration_of)
SIZE: Final = Quantity("size", size_of)
MOMENT: Final = Quantity("time", moment_of)
