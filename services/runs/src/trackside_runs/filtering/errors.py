"""What can be wrong with a filter or an order."""


class FilterError(Exception):
    """The filter cannot be read, or names something that is not there."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        """Where in the filter, in characters from 0."""


class OrderError(Exception):
    """The order names a field that lists cannot be ordered by."""
