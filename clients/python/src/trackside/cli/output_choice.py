"""Which outputs of a run the words of a command line mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trackside.client.errors import NotFoundError
from trackside.client.outputs import Outputs
from trackside.client.placement import placed
from trackside.client.run_output import RunOutput


@dataclass(frozen=True, slots=True)
class Chosen:
    """An output, or one file of a published folder."""

    output: RunOutput
    file: str = ""

    @property
    def path(self) -> str:
        """What people call it."""
        return f"{self.output.path}/{self.file}" if self.file else self.output.path


def chosen(outputs: Outputs[RunOutput], words: Sequence[str]) -> Sequence[Chosen]:
    """Return what the words mean, each once; without words, everything.

    A word is the path of an output, or one that goes on below a published folder.

    Raises:
        NotFoundError: One of them means nothing that was published.
    """
    if not words:
        return [Chosen(output) for output in outputs]
    return list({one.path: one for one in (_meant(outputs, word) for word in words)}.values())


def places_of(some: Sequence[Chosen], folder: Path) -> Sequence[Path]:
    """Return where each goes below a folder."""
    places = placed(one.path for one in some)
    return [folder / places[one.path] for one in some]


def _meant(outputs: Outputs[RunOutput], word: str) -> Chosen:
    known = {output.path: output for output in outputs}
    for path in (word, word.rstrip("/")):
        if path in known:
            return Chosen(known[path])
    above = word
    while "/" in above:
        above, _, _ = above.rpartition("/")
        if above in known:
            return Chosen(known[above], word[len(above) + 1 :])
    message = f"the run has published no {word!r}"
    raise NotFoundError(message, hint="`trackside get outputs RUN` lists what it has published")
