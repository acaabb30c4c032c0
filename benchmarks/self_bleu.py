"""Time of `SelfBLEU` against NLTK's `sentence_bleu` over the same references.

The texts are stretches of the standard library's docstrings. NLTK is timed on some of the hypotheses, each against all
references, and its time for all of them is that per hypothesis times their number. The values of those hypotheses are
compared as well: the metric's own value of each is that of its n-gram counts.
"""

import argparse
import statistics
import time
import warnings
from random import Random

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rich.console import Console
from rich.table import Table

from docstrings import docstrings
from machine import describe_machine
from phf.evaluation.generation.metrics import SelfBLEU

ORDER = 5


def stretches(num_texts: int, num_characters: int) -> list[str]:
    """Texts of this many characters each, from random places."""
    prose = " ".join(" ".join(text.split()) for of_module in docstrings() for text in of_module)
    random = Random(0)
    starts = [random.randrange(len(prose) - num_characters) for _ in range(num_texts)]
    return [prose[start : start + num_characters] for start in starts]


def nltk_scores(tokens: list[list[str]], hypotheses: list[int], max_references: int) -> list[float]:
    """BLEU of some texts against the first `max_references` of the others."""
    smoothing = SmoothingFunction().method1
    return [
        sentence_bleu(
            (tokens[:index] + tokens[index + 1 :])[:max_references],
            tokens[index],
            [1 / ORDER] * ORDER,
            smoothing_function=smoothing,
        )
        for index in hypotheses
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--characters", type=int, default=400)
    parser.add_argument("--hypotheses", type=int, default=3, help="how many NLTK is timed on in each round")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # NLTK's, about hypotheses without a match
    console = Console()
    console.print(describe_machine())
    texts = stretches(arguments.texts, arguments.characters)
    table = Table("level", "references", "SelfBLEU, s", "NLTK, s", "ratio", "slowest", "difference")
    for level in ("word", "char"):
        tokens = [text.split() if level == "word" else list(text) for text in texts]
        for max_references in (200, arguments.texts):
            metric = SelfBLEU(ORDER, level, max_references)
            own, nltk, differences = [], [], []
            for number in range(arguments.rounds):
                chosen = Random(number).sample(range(arguments.texts), arguments.hypotheses)
                start = time.perf_counter()
                scores = metric.scores(texts)
                own.append(time.perf_counter() - start)
                start = time.perf_counter()
                expected = nltk_scores(tokens, chosen, max_references)
                nltk.append((time.perf_counter() - start) / arguments.hypotheses * arguments.texts)
                differences += [abs(scores[index] - value) for index, value in zip(chosen, expected, strict=True)]
            ratios = [theirs / ours for theirs, ours in zip(nltk, own, strict=True)]
            table.add_row(
                level,
                f"{min(max_references, arguments.texts - 1)}",
                f"{statistics.median(own):.2f}",
                f"{statistics.median(nltk):.1f}",
                f"{statistics.median(ratios):.0f}x",
                f"{min(ratios):.0f}x",
                f"{max(differences):.0e}",
            )
    table.caption = (
        f"{arguments.texts} texts of {arguments.characters} characters, {arguments.rounds} alternating rounds"
    )
    console.print(table)


if __name__ == "__main__":
    main()
