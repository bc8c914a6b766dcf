import pytest

from support.command_line import Command


@pytest.mark.parametrize(
    ("subject", "part"),
    [
        (["exit-codes"], " 10  a followed run failed"),
        (["filter"], "state = RUNNING AND tag:gpu"),
        (["environment"], "TRACKSIDE_SERVER"),
        (["formats"], "proto3-JSON"),
        (["run"], "Usage: trackside run [OPTIONS] COMMAND..."),
        (["get", "runs"], "Usage: trackside get runs [OPTIONS]"),
        ([], "Usage: trackside [OPTIONS] COMMAND [ARGS]..."),
    ],
)
def test_commands_and_topics_are_explained(subject: list[str], part: str, command: Command) -> None:
    done = command("help", *subject)

    assert done.code == 0
    assert part in done.out


def test_a_subject_that_is_none_is_a_usage_error(command: Command) -> None:
    done = command("help", "nothing")

    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "error: there is no command and no topic 'nothing'",
    )
