"""Interrupts the main thread of this program as Ctrl-C does, from any thread."""

import _thread
import signal
import sys
import threading


def interrupt_main_thread() -> None:
    """Let the main thread see an interrupt, also while it sleeps or waits for the system.

    That raises `KeyboardInterrupt` in it, unless the program has a handler of its own. Where
    interrupts are ignored, as in what a shell runs in the background, the main thread sees
    SIGTERM instead, if anything here handles that.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if callable(signal.getsignal(number)):
            _deliver(number)
            return


def _deliver(number: signal.Signals) -> None:
    main = threading.main_thread().ident
    if sys.platform == "win32" or main is None:
        _thread.interrupt_main(number)
    else:  # a real signal, for only that ends what the main thread waits for
        signal.pthread_kill(main, number)
