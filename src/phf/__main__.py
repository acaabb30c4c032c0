"""`phf` and `python -m phf`.

Whatever ends the command while the libraries are still being imported, or when it has finished, leaves a line and no traceback.
So little is imported here before the signals have a handler.
"""

import os
import signal

EARLY = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")


def end(signum: int, _frame: object) -> None:
    """The handler of signals before and after a command, when there is nothing to put in order."""
    try:
        os.write(2, f"\nEnded by {signal.Signals(signum).name}.\n".encode())
    finally:
        os._exit(128 + signum)


def main() -> None:
    """Entry point of the console script."""
    for name in EARLY:
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signum, end)
    from phf.cli.app import main as run

    run(end)


if __name__ == "__main__":
    main()
