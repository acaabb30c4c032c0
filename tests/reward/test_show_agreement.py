"""The tables of `phf reward --compare` in a terminal of any width."""

from io import StringIO

import pytest
from rich.console import Console

from phf.labels.label import Labels, Rating
from phf.reward.compare import Agreement
from phf.reward.show_agreement import show_agreements
from phf.statistics import Interval

WIDE = Interval(-0.009, -0.452, 1.0)


def agreement(class_name, **settings):
    scorer = {"class_name": class_name, "version": "1", "settings": settings}
    return Agreement(scorer, 12, 6, {}, WIDE, WIDE, WIDE, None, 0.23)


@pytest.mark.parametrize(("width", "tables"), [(60, 4), (80, 2), (200, 1)])
def test_no_word_and_no_interval_is_broken(width, tables):
    console = Console(width=width, record=True, file=StringIO())
    scorers = [agreement("ClassifierScorer", path_or_name="[red]my-reward"), agreement("PEP8Scorer")]
    show_agreements(scorers, Labels([Rating("text", 1.0, None, None)], "ratings"), console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines[:-1])) <= width
    cells = [cell.strip() for line in lines for cell in line.split("│")]
    assert {"ClassifierScorer", "[red]my-reward", "(-0.452 to +1.000)", "(-0.452 to 1.000)"} <= set(cells)
    assert cells.count("PEP8Scorer") == tables
