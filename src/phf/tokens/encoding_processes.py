"""Encoding a corpus in several processes: pieces as they are finished, or in the order of the corpus and not far ahead."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from types import TracebackType

from phf.errors import OutputError
from phf.tokens.pieces import Corpus, End, Piece, PieceStart, Share
from phf.workers.child import Child, ready

TICK_SECONDS = 0.5


@dataclass
class _Process:
    child: Child
    share: Share | None = None
    waits: bool = False
    """Whether it has written a piece and waits for permission to continue."""
    answers: deque[Piece | End] = field(default_factory=deque)


class EncodingProcesses:
    """Child processes that encode shares of a corpus into files of a folder; ended when the block ends.

    Raises `OutputError` if one dies, and the errors that they report.
    """

    def __init__(self, corpus: Corpus, folder: Path, processes: int) -> None:
        self._settings = {"corpus": asdict(corpus), "folder": str(folder), "path": sys.path}
        self._number = processes
        self._processes: list[_Process] = []

    def __enter__(self) -> "EncodingProcesses":
        self._processes = [_Process(Child("phf.tokens.encoding_worker")) for _ in range(self._number)]
        for process in self._processes:
            process.child.send(self._settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.child.stop()

    def all(self, shares: Sequence[Share]) -> Iterator[Piece | End]:
        """Pieces, and the ends of shares, as they are finished."""
        waiting = deque(shares)
        while True:
            for process in self._processes:  # first, so that none waits for what is done with the answers
                if process.share is None and waiting:
                    self._start(process, waiting.popleft())
                self._let_continue(process)
            for process in self._processes:
                while process.answers:
                    yield process.answers.popleft()
            if all(process.share is None for process in self._processes):
                return
            self._listen()

    def in_order(self, shares: Sequence[Share], ahead: int = 2) -> Iterator[Piece]:
        """Pieces in the order of the corpus; each process has at most `ahead` of them ready that have not been requested.

        `shares` are in the order of the corpus, those of one part with one another.
        """
        for process in self._processes:
            assert process.share is None, "the pieces before were taken to their end"
        waiting: list[deque[Share]] = [deque() for _ in self._processes]
        owners: dict[Share, int] = {}
        for number, share in enumerate(shares):
            owners[share] = number % len(self._processes)
            waiting[owners[share]].append(share)
        for first in (share for share in shares if share.number == 0):
            for number in count(first.start.number):
                owner = owners[replace(first, number=number % first.of)]
                answer = self._next(self._processes[owner], waiting, ahead)
                if isinstance(answer, End):
                    others = {owners[replace(first, number=share)] for share in range(first.of)} - {owner}
                    for other in others:  # their ends, too
                        self._next(self._processes[other], waiting, ahead)
                    break
                assert (answer.part, answer.number) == (first.part, number)
                yield answer

    def _next(self, process: _Process, waiting: Sequence[deque[Share]], ahead: int) -> Piece | End:
        """The next answer of a process, while all of them continue as far as they can."""
        while True:
            for other, queue in zip(self._processes, waiting, strict=True):
                if len(other.answers) < ahead:
                    if other.share is None and queue:
                        self._start(other, queue.popleft())
                    self._let_continue(other)
            if process.answers:
                return process.answers.popleft()
            self._listen()

    def _start(self, process: _Process, share: Share) -> None:
        process.share = share
        process.child.send(asdict(share))

    def _let_continue(self, process: _Process) -> None:
        if process.waits:
            process.waits = False
            process.child.send({})

    def _listen(self) -> None:
        """Wait a moment for answers and take them in."""
        busy = {id(process.child): process for process in self._processes if process.share is not None}
        answered = [busy[id(child)] for child in ready([process.child for process in busy.values()], TICK_SECONDS)]
        for process in answered:
            for answer in process.child.read():
                assert process.share is not None
                if "piece" in answer:
                    piece = answer["piece"]
                    process.answers.append(Piece(**{**piece, "start": PieceStart(**piece["start"])}))
                    process.waits = True
                else:
                    process.answers.append(End(process.share, answer["end"]))
                    process.share = None
        for process in busy.values():
            if process.share is not None and (status := process.child.exit_status()) is not None:
                raise OutputError(
                    f"A process that encodes the corpus has ended ({status}), perhaps for lack of memory: "
                    f"{process.child.last_output} Run again: finished pieces are kept."
                )
