"""The grammar of filters, after AIP-160: from text to a typed tree, by recursive descent.

    expression  = sequence {"AND" sequence}
    sequence    = factor {factor}
    factor      = term {"OR" term}
    term        = ["NOT" | "-"] simple
    simple      = "(" expression ")" | restriction | word
    restriction = name comparator value

So OR binds tighter than AND, as the AIP has it.
"""

from collections.abc import Iterator
from typing import Final

from trackside_runs.filtering.errors import FilterError
from trackside_runs.filtering.restrictions import restrict, search
from trackside_runs.filtering.schema import Schema
from trackside_runs.filtering.tokens import Mark, Token, tokenize
from trackside_runs.filtering.tree import And, Node, Not, Or

MAXIMUM_DEPTH: Final = 32
"""How deep parentheses may be nested."""

MAXIMUM_TERMS: Final = 100
"""How many comparisons and words a filter may have."""

_TERM_STARTS: Final = frozenset({Mark.WORD, Mark.OPEN, Mark.NOT})


def parse_filter(text: str, schema: Schema, *, now_ms: int) -> Node:
    """Return the tree of a filter; an empty filter holds for everything.

    Args:
        text: The filter.
        schema: The fields that it may name.
        now_ms: The present, in milliseconds since 1970, from which `-2h` counts.

    Raises:
        FilterError: The filter cannot be read.
    """
    return _Parser(tokenize(text), schema, now_ms).parse()


class _Parser:
    def __init__(self, tokens: Iterator[Token], schema: Schema, now_ms: int) -> None:
        self._tokens = tokens
        self._schema = schema
        self._now_ms = now_ms
        self._token = next(tokens)
        self._depth = 0
        self._terms = 0

    def parse(self) -> Node:
        if self._at(Mark.END):
            return And(())
        tree = self._expression()
        if self._at(Mark.CLOSE):
            raise FilterError("This parenthesis closes nothing.", self._token.position)
        if not self._at(Mark.END):
            raise self._unexpected()
        return tree

    def _at(self, mark: Mark) -> bool:
        return self._token.mark is mark

    def _advance(self) -> Token:
        token = self._token
        if token.mark is not Mark.END:
            self._token = next(self._tokens)
        return token

    def _expression(self) -> Node:
        children = [self._sequence()]
        while self._at(Mark.AND):
            self._advance()
            children.append(self._sequence())
        return children[0] if len(children) == 1 else And(tuple(children))

    def _sequence(self) -> Node:
        children = [self._factor()]
        while self._token.mark in _TERM_STARTS:
            children.append(self._factor())
        return children[0] if len(children) == 1 else And(tuple(children))

    def _factor(self) -> Node:
        children = [self._term()]
        while self._at(Mark.OR):
            self._advance()
            children.append(self._term())
        return children[0] if len(children) == 1 else Or(tuple(children))

    def _term(self) -> Node:
        if not self._at(Mark.NOT):
            return self._simple()
        self._advance()
        return Not(self._simple())

    def _simple(self) -> Node:
        if self._at(Mark.OPEN):
            return self._composite()
        if not self._at(Mark.WORD):
            raise self._unexpected()
        word = self._advance()
        self._terms += 1
        if self._terms > MAXIMUM_TERMS:
            raise FilterError(f"A filter has at most {MAXIMUM_TERMS} terms.", word.position)
        if not self._at(Mark.COMPARATOR):
            return search(word)
        comparator = self._advance()
        if not self._at(Mark.WORD):
            message = f"One value is expected after {comparator.text}."
            raise FilterError(message, self._token.position)
        return restrict(self._schema, word, comparator, self._advance(), self._now_ms)

    def _composite(self) -> Node:
        opened = self._advance()
        self._depth += 1
        if self._depth > MAXIMUM_DEPTH:
            message = f"Parentheses are nested at most {MAXIMUM_DEPTH} deep."
            raise FilterError(message, opened.position)
        tree = self._expression()
        if not self._at(Mark.CLOSE):
            if self._at(Mark.END):
                raise FilterError("This parenthesis is not closed.", opened.position)
            raise self._unexpected()
        self._advance()
        self._depth -= 1
        return tree

    def _unexpected(self) -> FilterError:
        messages = {
            Mark.END: "The filter ends too early.",
            Mark.CLOSE: "A term is expected before this parenthesis.",
            Mark.OPEN: "A term is expected here.",
            Mark.COMPARATOR: "A field's name is expected before a comparison.",
        }
        default = "A term is expected here; AND, OR and NOT stand between terms."
        return FilterError(messages.get(self._token.mark, default), self._token.position)
