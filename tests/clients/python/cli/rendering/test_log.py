from support.example_runs import at, log_block
from trackside.cli.paint import Paint
from trackside.cli.rendering.log import LogText, tail_line
from trackside.client.log_lines import LogLine, lines_of
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry, LogLevel

_PLAIN = Paint()


def _line(message: str, stream: str = "stdout", *, continues: bool = False) -> LogLine:
    return LogLine(1, LogEntry(message=message, stream=stream, continues=continues))


def test_plain_output_is_shown_as_it_is_but_for_what_a_terminal_obeys() -> None:
    renderer = LogText(_PLAIN)

    assert [renderer.text(line) for line in lines_of([log_block()])] == [
        "fold 2 done\n",
        "WARNING  [fold=3] slow to converge\n",
        "\\x1b]0;owned\\x07\\x1b[2Jhello\n",
    ]


def test_a_long_line_that_came_in_pieces_is_put_together() -> None:
    renderer = LogText(_PLAIN, timestamps=True)
    first = LogLine(1, LogEntry(message="a", stream="stdout", time=at(0), continues=True))

    assert renderer.text(first) + renderer.text(_line("b")) == "2026-11-21T12:00:00Z ab\n"


def test_another_stream_breaks_a_long_line() -> None:
    renderer = LogText(_PLAIN)

    text = renderer.text(_line("a", continues=True)) + renderer.text(_line("x", "stderr"))

    assert text == "a\nx\n"


def test_late_lines_are_marked() -> None:
    assert LogText(_PLAIN).text(LogLine(1, LogEntry(message="a"), late=True)) == "(late) a\n"


def test_levels_have_a_word_beside_their_colour() -> None:
    line = LogLine(1, LogEntry(message="bad", level=LogLevel.LOG_LEVEL_ERROR))

    text = LogText(Paint(colors=True)).text(line)

    assert text == "\x1b[31mERROR   \x1b[0m \x1b[31mbad\x1b[0m\n"


def test_a_line_of_a_tail_says_whose_it_is() -> None:
    assert tail_line(_line("a"), _PLAIN, "epsilon=0.02") == "epsilon=0.02 a"
