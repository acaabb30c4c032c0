"""Where samples come from, as an audit found it, in words and on the page."""

import json

import pytest
from tests.report.test_page import Page, make_run, sample
from tests.report.test_sample_chunks import unpacked

from phf.errors import CorpusError
from phf.report.origins import around_common, facts_of, find_audits, read_origins, said_of
from phf.report.page import write_report
from phf.report.sample_chunks import SampleSet, pack
from phf.runs.reader import Sample, read_run
from phf.text import masked, visible_text

HOSTILE_TEXT = "<script>alert(1)</script>\x1b[31m\u202e"
DATA = {"is_trained_on": True, "is_whole": True, "sentence": "This is the data that the model was trained on."}
COPIED = f"call 6417-2285 or {HOSTILE_TEXT}"


def detection(start, text, occurrences, document=None):
    return {
        "start": start, "end": start + len(text), "label": "phone", "text": text, "occurrences": occurrences,
        "document": document,
    }  # fmt: skip


def neighbour(text, start, end, **changes):
    common = {"num_tokens": 3, "start": start, "end": end}
    own = {
        "text": text,
        "score": 1.0,
        "document": "d7",
        "overlap": 0.25,
        "hidden": 0.5,
        "gradient": None,
        "common": common,
    }
    return own | changes


def origin(text=COPIED, number=0, detections=(), scenario="unconditional", **changes):
    own_start = len(HOSTILE_TEXT) + 1
    longest = {"num_tokens": 12, "start": 5, "end": 14, "text": text[5:14], "occurrences": 2, "document": "d7"}
    own = {
        "scenario": scenario, "number": number, "score": 0.5, "prompt": "", "text": text, "longest": longest,
        "detections": list(detections), "neighbours": [neighbour(f"{HOSTILE_TEXT} 6417-2285", own_start, own_start + 9)],
    }  # fmt: skip
    return own | changes


def make_audit(folder, *origins, name="mle", mask=False, data=DATA, **changes):
    folder.mkdir()
    record = {"settings": {"mask": mask}, "training_data": data, "samples_of": name, "origins": list(origins)} | changes
    (folder / "audit.json").write_text(json.dumps(record))
    return folder


THERE, ABSENT, UNKNOWN = detection(5, "6417-2285", 3, "d7"), detection(20, "9999", 0), detection(30, "ü", None)


@pytest.mark.parametrize(
    ("detections", "kind", "badge", "elsewhere"),
    [
        ([THERE, THERE], "copied", "copied", "in this dataset"),
        ([THERE, ABSENT, UNKNOWN], "partly", "1 of 2 copied", "1 of 2 in this dataset"),
        ([ABSENT], "new", "made up", "not in this dataset"),
        ([UNKNOWN], "alike", "longest copy: 12 tokens", "longest copy: 12 tokens"),
        ([], "alike", "longest copy: 12 tokens", "longest copy: 12 tokens"),
    ],
)
def test_whether_a_sample_copied_what_was_detected_in_it(detections, kind, badge, elsewhere):
    said = said_of({**origin(detections=detections), "data": DATA})
    assert (said.kind, said.badge) == (kind, badge)
    for other in ({"is_trained_on": None}, {"is_trained_on": False}, {"is_whole": False}):
        unsure = said_of({**origin(detections=detections), "data": DATA | other})
        assert (unsure.kind, unsure.badge) == (kind, elsewhere), "nothing is called copied or made up"
        assert "the training data" not in " ".join(unsure.sentences)


def test_every_find_is_named():
    other = detection(30, "8888", 0)
    said = said_of({**origin(detections=[ABSENT, THERE, THERE, other, UNKNOWN]), "data": DATA})
    assert said.sentences == [
        "In the training data: phone “6417-2285”, 3 times, first in d7.",
        "Not in the training data: phone “9999”, phone “8888”.",
        "Not looked for, since the tokenizer changes it, in the training data: phone “ü”.",
        "Longest span that a segment of the training data has verbatim: 12 tokens, “6417-2285”, 2 times, first in d7.",
    ]
    first, _ = said_of({**origin(detections=[detection(5, " ", 3, "d7")]), "data": DATA}).sentences
    assert first == "In the training data: phone white space, 3 times, first in d7."
    (sentence,) = said_of({**origin(longest=None), "data": DATA}).sentences
    assert sentence.endswith("verbatim: fewer than 4 tokens.")


def test_long_segments_are_cut_around_what_is_common():
    assert around_common(neighbour("before own after", 7, 10)) == ("before ", "own", " after")
    before, own, after = around_common(neighbour("b" * 500 + "o" * 500 + "a" * 500, 500, 1000))
    assert (before, own, after) == ("…" + "b" * 200, "o" * 400 + "…", "a" * 200 + "…")
    assert facts_of(neighbour("x", 0, 1)) == "d7, score 1: 3 tokens verbatim, n-grams 0.25, hidden states 0.50"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "mle", "mle", samples=[sample([COPIED], [0.5]), sample(["x"], [0.1])])


def test_an_audit_counts_for_the_run_that_has_its_samples(run, tmp_path):
    other = make_run(tmp_path / "other" / "mle", "mle", samples=[sample(["changed"], [0.5]), sample(["x"], [0.1])])
    runs = [read_run(run), read_run(other)]
    audit = make_audit(tmp_path / "audit", origin(), origin("x", 1))
    of_runs, notices = read_origins([audit], runs)
    assert [sorted(some) for some in of_runs] == [[("unconditional", 0), ("unconditional", 1)], []]
    assert of_runs[0]["unconditional", 0]["data"] == DATA
    assert notices == []
    hidden = make_audit(tmp_path / "masked", origin(masked(COPIED)), mask=True)
    assert [len(some) for some in read_origins([hidden], runs)[0]] == [1, 0]
    plain = make_audit(tmp_path / "plain", origin(masked(COPIED)))
    assert read_origins([plain], runs)[0] == [{}, {}]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "gone"}, "says where samples of 'gone' come from, which is not among these runs"),
        ({"origins": [origin(number=2)]}, "or has new samples"),
        ({"origins": [origin("other")]}, "or has new samples"),
        ({"origins": [origin(scenario="none")]}, "or has new samples"),
        ({"origins": [{key: value for key, value in origin().items() if key != "number"}]}, "by an earlier version"),
        ({"samples_of": None}, "by an earlier version"),
    ],
)
def test_an_audit_that_is_of_no_run_here_is_left_out_with_a_notice(run, tmp_path, changes, says):
    audit = make_audit(tmp_path / "audit", origin(), **changes)
    of_runs, (notice,) = read_origins([audit], [read_run(run)])
    assert of_runs == [{}]
    assert says in notice
    assert str(audit) in notice


def test_an_audit_without_traced_samples_says_nothing(run, tmp_path):
    assert read_origins([make_audit(tmp_path / "audit")], [read_run(run)]) == ([{}], [])


@pytest.mark.parametrize("content", ["{", "[]", '{"settings": {}, "origins": [{"scenario": 1}]}'])
def test_a_damaged_audit_is_an_error_that_names_it(run, tmp_path, content):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.json").write_text(content)
    with pytest.raises(CorpusError, match=r"audit\.json.* Run phf audit again"):
        write_report([run, tmp_path / "audit"], tmp_path / "report.html")


def test_offsets_outside_of_a_text_are_harmless():
    far = {"num_tokens": 3, "start": 900, "end": 950}
    assert around_common(neighbour("short", 0, 0, common=far)) == ("short", "", "")
    one = read_run_sample(COPIED)
    entry = {**origin(longest={**origin()["longest"], "start": 900, "end": 950}), "data": DATA}
    packed = pack([SampleSet("m", "s", [one], 0.0, "", False, {0: entry})], 1e6)
    assert unpacked(packed.chunks[0])["samples"][0][5]["copied"] == [900, 950]


def read_run_sample(text):
    return Sample("", text, 0.5, [text], [0.5])


def test_audits_are_found_beside_runs_and_in_folders_of_runs(run, tmp_path):
    audit = make_audit(tmp_path / "audit", origin())
    assert find_audits([run, audit]) == ([audit], [run])
    assert find_audits([tmp_path]) == ([audit], [tmp_path])
    with pytest.raises(CorpusError, match="Give the folder of that run too"):
        write_report([audit], tmp_path / "report.html")


def test_the_page_shows_what_was_found_and_nothing_of_it_runs(run, tmp_path):
    audit = make_audit(tmp_path / "audit", origin(detections=[THERE]))
    assert write_report([run, audit], tmp_path / "report.html") == []
    html = (tmp_path / "report.html").read_text()
    assert 'name="origin"' in html
    assert '<span class="origin copied">copied</span>' in html, "without scripts too"
    scripts = [attributes for tag, attributes in Page(html).tags if tag == "script" and "type" not in attributes]
    write_report([run], tmp_path / "plain.html")
    plain = (tmp_path / "plain.html").read_text()
    assert len(scripts) == len([a for tag, a in Page(plain).tags if tag == "script" and "type" not in a])
    assert 'name="origin"' not in plain
    assert "Where " not in plain.split('id="samples"')[1].split("</section>")[0]


def test_what_was_found_is_with_its_sample_in_the_chunks():
    ours, other = read_run_sample(f"\U0001f600 {COPIED}"), read_run_sample("x")
    entry = {**origin(detections=[THERE]), "data": DATA}
    packed = pack([SampleSet("m", "s", [other, ours], 0.0, "", False, {1: entry})], 1e6)
    (described,) = unpacked(packed.index)["sets"]
    rows = unpacked(packed.chunks[0])["samples"]
    (position,) = [int(one) for one in described["origins"]]
    assert described["origins"] == {str(position): "copied"}
    assert (len(rows[position]), len(rows[1 - position])) == (6, 5)
    shown = rows[position][5]
    assert shown["copied"] == [6, 15], "in UTF-16 code units"
    assert (shown["kind"], shown["badge"], shown["data"]) == ("copied", "copied", DATA["sentence"])
    assert shown["segments"] == [[f"{HOSTILE_TEXT} ", "6417-2285", "", facts_of(entry["neighbours"][0])]]
    assert visible_text(shown["segments"][0][0]) != shown["segments"][0][0], "escaped by the script"
