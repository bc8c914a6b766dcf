"""Where the process of a command begins, before anything that takes time to import."""

import signal


def main() -> None:
    """Run the command line of this process."""
    # While the rest is imported nobody could answer Ctrl-C but with a traceback: it ends the
    # process as it does any program.
    answers = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if answers:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from trackside.cli import main as command_line  # noqa: PLC0415

    if answers:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line.main()
