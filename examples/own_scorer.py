"""Your own scorer, for sentences that shout: why a text has its score, and a corpus scored by it.

python examples/own_scorer.py CORPUS OUTPUT
"""

import sys
from collections import Counter
from pathlib import Path

from phf.annotate.runner import annotate
from phf.corpus.dataset import read_annotated
from phf.scorers import build_scorer
from phf.scorers.explain import explain


class ShoutingScorer:
    """Share of capital letters: 0 to 1, higher is worse; too few letters cannot be scored."""

    version = "1"  # change it whenever a text would get another score
    segmenter = "sentences"

    def __init__(self, min_letters: int = 2) -> None:
        self.min_letters = min_letters
        self.unscored: Counter[str] = Counter()  # why texts have no score

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """One score per text."""
        return [self._score([character for character in text if character.isalpha()]) for text in texts]

    def _score(self, letters: list[str]) -> float | None:
        if len(letters) < self.min_letters:
            self.unscored["too few letters"] += 1
            return None
        return sum(map(str.isupper, letters)) / len(letters)


SCORER = {"class_name": "own_scorer:ShoutingScorer", "min_letters": 3}
"""As a configuration would have it: the module must be where Python looks, in worker processes too."""


def main(corpus: str, output: Path) -> None:
    """Explain one text, score a corpus, and show its worst document."""
    explanation = explain(build_scorer(SCORER, "the example"), "Hello there. BUY NOW! A.")
    for segment in explanation.segments:
        print(f"{segment.score!s:>6}  {segment.text!r}")
    manifest = annotate([corpus], SCORER, None, output, workers=1)
    print(f"{manifest.num_documents:,} documents, unscored segments: {manifest.unscored_reasons}")
    scored = [document for document in read_annotated(str(output)) if document.avg_score is not None]
    worst = max(scored, key=lambda document: document.avg_score)
    print(f"Worst: {worst.id}, mean score {worst.avg_score:.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
