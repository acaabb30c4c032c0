"""The page of a profile: the numbers of profile.json, and text of the corpus only as text."""

import pytest
from tests.report.test_page import HOSTILE, Page, has_only_our_scripts

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.profile.histogram import Bin
from phf.profile.measure import profile_dataset
from phf.report.profile_page import _histogram, write_profile_page


def page_of(folder, documents, **options):
    write_shard(folder / "a.parquet", documents)
    write_profile_page(profile_dataset(str(folder), **options), folder)
    html = (folder / "profile.html").read_text(encoding="utf-8")
    return html, Page(html)


def documents(text="x"):
    return [
        AnnotatedDocument(str(i), [text, "b"], [0.0, 0.25 * i], {"source": "web" if i % 2 else "books"})
        for i in range(8)
    ]


def test_the_numbers_are_on_the_page(tmp_path):
    html, parsed = page_of(tmp_path, documents(), threshold=0.5, percentiles=[50])
    text = " ".join(parsed.text.split())
    assert "8 documents, 16 segments" in text
    assert html.count("<svg") == 2
    assert [cell in html for cell in ("3<br><small>37.50%</small>", "5<br><small>31.25%</small>")] == [True, True]
    assert "p50" in text
    assert "books" in text
    assert "web" in text
    assert "segments are unscored" not in text


def test_what_is_missing_is_said_first(tmp_path):
    rows = [*documents(), AnnotatedDocument("u", ["u"], [None]), AnnotatedDocument("e", [], []), documents()[0]]
    text = " ".join(page_of(tmp_path, rows)[1].text.split())
    assert "1 segment is unscored, 1 document has such a segment" in text
    assert "1 document is empty." in text
    assert "8 documents repeat an earlier one." in text


@pytest.mark.parametrize("text", [text for text in HOSTILE if "\ud800" not in text])
def test_hostile_text_is_shown_as_text(text, tmp_path):
    rows = [AnnotatedDocument(text, [text] * 3, [0.5, 0.25, 0.0], {"source": text}) for _ in range(3)]
    html, parsed = page_of(tmp_path, rows)
    assert has_only_our_scripts(html)
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert not set(html) & set("\x1b\u202e\u2066\u200b")


def test_nothing_scored_has_a_page_without_figures(tmp_path):
    html, _ = page_of(tmp_path, [AnnotatedDocument("a", ["a"], [None])])
    assert "<svg" not in html


def test_bars_are_named_by_their_bins_and_coloured_by_their_side():
    chart = _histogram("segment", [Bin(0.0, 0.0, 0.5), Bin(0.0, 0.25, 0.25), Bin(0.25, 1.0, 0.25)], 0.25)
    assert [(one.name, [(p.x, p.y) for p in one.points]) for one in chart.series] == [
        ("ends at or below 0.25", [(0, 0.5), (1, 0.25)]),
        ("ends above 0.25", [(2, 0.25)]),
    ]
    assert [chart.name_of(x) for x in (0.0, 1.0, 2.0)] == ["0", "0 to 0.25", "0.25 to 1"]
