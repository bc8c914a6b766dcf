from types import SimpleNamespace
from typing import Any, cast

from trackside.capture.masking import Masker
from trackside.session.output import Output
from trackside.session.recorder import Recorder


def test_what_another_thread_logs_while_the_capture_ends_breaks_nothing() -> None:
    masker = Masker([])
    output = Output("r", Recorder(masker, lambda _: None), masker, lambda _: None)
    streams = cast("dict[str, Any]", output._streams)
    expected: list[str] = []

    def expect(line: str, _known: object) -> None:
        expected.append(line)
        streams.clear()  # as the end of the capture does

    streams["stderr"] = SimpleNamespace(echoes=SimpleNamespace(expect=expect))

    output.expect_echo("stderr", "two\nlines")

    assert expected == ["two", "lines"]
