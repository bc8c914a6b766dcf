"""What can be wrong with a filter, an order or a page token."""


class FilterError(Exception):
    """The filter cannot be read, or names something that is not there."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        """Where in the filter, in characters from 0."""


class OrderError(Exception):
    """The order names a field that lists cannot be ordered by."""


class PageTokenError(Exception):
    """The page token is not one of ours, or belongs to another request."""
