"""Chance that is the same in each test run."""

import random


def seeded(seed: int) -> random.Random:
    """Return random numbers for a test's order and pace."""
    return random.Random(seed)  # noqa: S311 - a test's order, not a secret
