"""Chance of our own: a program that seeds `random` gets the same numbers with us as without."""

import random
from typing import Final

CHANCE: Final = random.SystemRandom()
