"""How bash and fish complete names with spaces, commas and `=`; zsh does as click has it."""

import os
import re
from dataclasses import dataclass
from typing import Any, Final

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    add_completion_class,
    split_arg_string,
)
from typing_extensions import override

_SPECIAL: Final = re.compile(r"[^\w@%+=:,./\-\u0080-\U0010ffff]", re.ASCII)
_SPECIAL_IN_QUOTES: Final = re.compile(r"[\"'$`\\!]")
_ENDS_OF_WORDS: Final = "=:@"
"""Those of `COMP_WORDBREAKS` that names have and that need no escape."""
_CURSOR: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class _BashWord:
    """The word before the cursor, of which bash replaces only the part behind the last break."""

    typed: str
    breaks: str
    is_quoted: bool

    def inserted(self, value: str) -> str | None:
        """Return what is to stand there for `value`; None when bash cannot put it there."""
        option, joint, _ = self.typed.partition("=") if self.typed.startswith("--") else ("",) * 3
        word = f"{option}{joint}{value}" if joint else value
        if self.is_quoted:
            return None if _SPECIAL_IN_QUOTES.search(word) else word
        # What follows a break is replaced; of `@`, which may begin a word, that too.
        begins = (at + (char != "@") for at, char in enumerate(self.typed) if char in self.breaks)
        begin = max(begins, default=0)
        if not word.startswith(self.typed[:begin]):
            return None
        return _SPECIAL.sub(r"\\\g<0>", word[begin:])


class EscapingBashComplete(BashComplete):
    """Escapes what it proposes: bash takes it into the command line as it stands.

    Bash also takes `=` and `:` for the ends of words, so words are found in the line itself.
    """

    source_template = """\
%(complete_func)s() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            plain,*) COMPREPLY+=("${line#plain,}") ;;
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
        esac
    done < <(
        COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="${COMP_WORDS[COMP_CWORD]}" \\
            COMP_WORDBREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete "$1"
    )
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        *words, last = split_arg_string(os.environ["COMP_LINE"] + _CURSOR)
        return words[1:], last.removesuffix(_CURSOR)

    @override
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        breaks = set(_ENDS_OF_WORDS) & set(os.environ["COMP_WORDBREAKS"])
        is_quoted = os.environ["COMP_WORD"].startswith(("'", '"'))
        word = _BashWord(incomplete, "".join(breaks), is_quoted)
        items = super().get_completions(args, incomplete)
        inserted = ((item, word.inserted(item.value)) for item in items)
        return [CompletionItem(text, item.type) for item, text in inserted if text is not None]


class CommaFishComplete(FishComplete):
    """Leaves commas in what it proposes."""

    source_template = FishComplete.source_template.replace(
        'string split ","', 'string split --max 1 ","'
    )


def know_shells() -> None:
    """Have click complete in these ways where it is asked for bash and fish."""
    add_completion_class(EscapingBashComplete)
    add_completion_class(CommaFishComplete)
