"""Scorers that misbehave, each in its way."""

import os
import subprocess
import sys
import time
import warnings

from phf.scorers import Scorer


class LengthScorer(Scorer):
    """1 / characters, after a moment."""

    segmenter = "lines"

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def score_texts(self, texts: list[str]) -> list[float | None]:
        time.sleep(self.seconds)
        return [1 / len(text) for text in texts]


class RaisingScorer(LengthScorer):
    def score_texts(self, texts: list[str]) -> list[float | None]:
        if any("raise" in text for text in texts):
            raise RuntimeError("cannot")
        return super().score_texts(texts)


class BatchRaisingScorer(RaisingScorer):
    def score_documents(self, documents: list[list[str]]) -> list[list[float | None]]:
        return [self.score_texts(segments) for segments in documents]


class HangingScorer(LengthScorer):
    def score_texts(self, texts: list[str]) -> list[float | None]:
        if any("hang" in text for text in texts):
            time.sleep(3600)
        return super().score_texts(texts)


class KillingScorer(LengthScorer):
    def score_texts(self, texts: list[str]) -> list[float | None]:
        sys.stdout.write("a scorer may print\n")
        if any("kill" in text for text in texts):
            os._exit(3)
        return super().score_texts(texts)


class ShortScorer(LengthScorer):
    def score_texts(self, texts: list[str]) -> list[float | None]:
        return super().score_texts(texts)[1:]


class NanScorer(LengthScorer):
    def score_texts(self, texts: list[str]) -> list[float | None]:
        return [float("nan")] * len(texts)


class NoWorkerScorer(LengthScorer):
    """Can be built in the process that annotates, but in none of its workers."""

    def __init__(self) -> None:
        super().__init__()
        if "phf.annotate.backends.worker" in sys.orig_argv:
            os._exit(4)


class ReadingScorer(LengthScorer):
    """Reads its standard input to the end, as a program that it starts might."""

    def score_texts(self, texts: list[str]) -> list[float | None]:
        assert subprocess.run(["cat"], capture_output=True, check=True).stdout == b""
        assert sys.stdin.read() == ""
        return super().score_texts(texts)


class ForkingScorer(KillingScorer):
    """Leaves a process behind that holds on to all that was open."""

    def score_texts(self, texts: list[str]) -> list[float | None]:
        if any("kill" in text for text in texts) and os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        return super().score_texts(texts)


class ReasonScorer(LengthScorer):
    """Gives a reason that must not reach a terminal unescaped."""

    def score_texts(self, texts: list[str]) -> list[float | None]:
        self.unscored["too [bold]long[/] \x1b[31m"] += len(texts)
        return [None] * len(texts)


class GpuScorer(Scorer):
    """The one GPU that this process sees; -1 where it sees as many as its parent does."""

    segmenter = "lines"

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()
        self.device = device

    def score_texts(self, texts: list[str]) -> list[float | None]:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return [float(visible) if visible.isdigit() else -1.0] * len(texts)


class WarningScorer(Scorer):
    """Says something when it is built."""

    def __init__(self) -> None:
        super().__init__()
        warnings.warn("a model is missing", stacklevel=2)

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return [0.0] * len(texts)
