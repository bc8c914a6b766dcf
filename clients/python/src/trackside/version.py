"""The version of this distribution, readable without a look into installed metadata."""

from typing import Final

VERSION: Final = "0.1.0"
"""Equal to the version in `pyproject.toml`; a test compares. Reading metadata would cost 40 ms."""
