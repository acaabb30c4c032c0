"""A command that ends with the process that started it: `python -m phf.workers.attached PID MODULE ARGUMENTS`.

Runs MODULE as `python -m MODULE ARGUMENTS` would. When process PID is no longer its parent, it gets the signal that asks it to
stop, so that it can save its state. For a command that needs nothing else from whoever started it; for work that
answers, see `phf.workers.child`.
"""

import os
import runpy
import signal
import sys
import threading
import time

SECONDS_BETWEEN_LOOKS = 1.0


def main() -> None:
    """Run the module, watching the parent."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
