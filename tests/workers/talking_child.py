"""A child process for the tests: it does what it is asked to, good or bad."""

import os
import signal
import subprocess
import sys
import time

from phf import errors
from phf.corpus.formats.row_policy import BadRowError
from phf.workers.parent import Parent


def main() -> None:
    parent = Parent()
    while True:
        request, attached = parent.receive()
        match request["do"]:
            case "count":
                parent.send(length=len(attached), sum=sum(attached))
            case "print":
                sys.stdout.write("to stdout\n")
                sys.stdout.flush()
                sys.stderr.write("to stderr\n")
                parent.send(printed=True)
            case "read":
                started = subprocess.run(["cat"], capture_output=True, check=True)
                parent.send(read=[sys.stdin.read(), started.stdout.decode()])
            case "raise":
                arguments = {"BadRowError": ("it", "is bad"), "MissingExtraError": ("it", "a", "b")}
                cls = BadRowError if request["name"] == "BadRowError" else getattr(errors, request["name"])
                parent.send_error(cls(*arguments.get(request["name"], ("it",))))
            case "environment":
                parent.send(value=os.environ.get(request["name"]))
            case "exit":
                os._exit(request["status"])
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                parent.send(pid=os.getpid())
                time.sleep(3600)


if __name__ == "__main__":
    main()
