"""Figures: measured in rounds, told as medians beside their yardstick."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One measurement of one round.

    Attributes:
        name: What was measured.
        value: Ours.
        unit: Of both values.
        goal: What it should be, for people.
        bound: The same as a number: a ratio when there is a yardstick, else a value.
        yardstick: What it is compared with, in the same round; None where the goal is absolute.
        higher_is_better: On which side of the bound good lies.
    """

    name: str
    value: float
    unit: str
    goal: str
    bound: float
    yardstick: float | None = None
    higher_is_better: bool = False

    @property
    def judged(self) -> float:
        """What is held against the bound."""
        return self.value if self.yardstick is None else self.value / self.yardstick

    @property
    def is_met(self) -> bool:
        """Whether the goal is met."""
        return (self.judged >= self.bound) if self.higher_is_better else (self.judged <= self.bound)

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table says of it."""
        compared = ("", "")
        if self.yardstick is not None:
            compared = (_text(self.yardstick, self.unit), f"{self.judged:.2f}")
        verdict = "met" if self.is_met else "**missed**"
        return (self.name, _text(self.value, self.unit), *compared, self.goal, verdict)


def medians(rounds: Iterable[Sequence[Figure]]) -> list[Figure]:
    """Return one of each name: that of the round whose value, or ratio, is the median."""
    by_name: dict[str, list[Figure]] = {}
    for figures in rounds:
        for figure in figures:
            by_name.setdefault(figure.name, []).append(figure)
    return [_middle(figures) for figures in by_name.values()]


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = [
        ("what", "measured", "yardstick", "ratio", "goal", ""),
        ("---", "--:", "--:", "--:", "---", "---"),
        *(figure.cells for figure in figures),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def short(value: float) -> str:
    """Return a number as people say it."""
    if value >= 100_000:
        return f"{value / 1_000_000:.2f} M"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def _middle(figures: Sequence[Figure]) -> Figure:
    middle = median(figure.judged for figure in figures)
    return min(figures, key=lambda figure: abs(figure.judged - middle))


def _text(value: float, unit: str) -> str:
    return f"{short(value)} {unit}"
