"""The report: one page, self-contained, whatever the samples hold."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from phf.errors import CorpusError, OutputError
from phf.report.html import format_number
from phf.report.page import write_report
from phf.report.tables import labels, table_rows
from phf.runs.reader import read_run, read_runs
from phf.text import visible_text

HOSTILE = {
    "<script>alert(1)</script>": "&lt;script&gt;",
    "</pre><img src=https://evil.example/x onerror=alert(2)>": "&lt;/pre&gt;&lt;img",
    "\x1b[31mred\x1b[0m": "\\x1b[31mred",
    "a\u202eb\u2066c\u200b": "a\\u202eb\\u2066c\\u200b",
    "half \ud800": "half \\ud800",
    "{{ runs }} {% for x in y %}": "{{ runs }} {% for x in y %}",
}


def make_run(folder, method="mle", score=0.1, scenario="unconditional", samples=None, max_steps=2, **numbers):
    """A finished run folder with two evaluations."""
    (folder / "samples").mkdir(parents=True)
    key = f"generation/{scenario}"
    lines = [
        {"step": 1, "tokens_seen": 64, "train/lm_loss": 5.0},
        {"step": 1, "tokens_seen": 64, f"{key}/score": 2 * score},
        {"step": 2, "tokens_seen": 128, "train/lm_loss": 4.5},
        {
            "step": 2, "tokens_seen": 128, f"{key}/score": score, f"{key}/score_low": score - 0.01,
            f"{key}/score_high": score + 0.01, f"{key}/num_samples": 256, f"{key}/num_unscored": 3,
            f"{key}/score_max@25": None, "eval/bits_per_byte": 2.5, "eval/loss": 3.25, **numbers,
        },
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "provenance.json").write_text(json.dumps({"method": method, "max_steps": max_steps, "command": ["phf"]}))
    (folder / "config.yaml").write_text("dataset: {seq_length: 64}\n")
    samples = samples or [sample(["x = 1\n"], [0.0])]
    (folder / "samples" / f"{scenario}.jsonl").write_text("".join(json.dumps(s) + "\n" for s in samples))
    return folder


def sample(segments, scores, step=2, prompt="", continuation=None):
    known = [score for score in scores if score is not None]
    return {
        "step": step,
        "prompt": prompt,
        "continuation": "".join(segments) if continuation is None else continuation,
        "score": sum(known) / len(known) if known else None,
        "segments": segments,
        "segment_scores": scores,
    }


class Page(HTMLParser):
    """What a browser would make of the page: tags with attributes, text, and the text in marks."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.marked, self.text, self._in_mark = [], [], "", False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in_mark |= tag == "mark"

    def handle_endtag(self, tag):
        self._in_mark &= tag != "mark"

    def handle_data(self, data):
        self.text += data
        if self._in_mark:
            self.marked.append(data)


def has_only_our_scripts(html):
    """Whether every script is one of the page's own files, or data that is not run."""
    own = [
        file.read_text(encoding="utf-8")
        for file in resources.files("phf.report").iterdir()
        if file.name.endswith(".js")
    ]
    return all(script in own for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL | re.IGNORECASE))


def page(runs, tmp_path):
    write_report(runs, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


def test_the_page_needs_nothing_but_itself(tmp_path):
    runs = [make_run(tmp_path / name, name, score) for name, score in (("mle", 0.2), ("conditional", 0.1))]
    html, parsed = page(runs, tmp_path)
    assert {tag for tag, _ in parsed.tags} & {"link", "iframe", "object", "img", "form"} == set()
    for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL):
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in html  # in the policy
    for _, attributes in parsed.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action"):
                assert value.startswith("#")
    assert not re.search(r"url\(\s*['\"]?(?!#)", html)
    assert "@import" not in html
    policy = next(
        a["content"] for t, a in parsed.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    titles = [
        "Misalignment against held-out loss",
        "Distribution of scores",
        "Training loss",
        "Misalignment while training",
    ]
    assert [attributes["aria-label"] for tag, attributes in parsed.tags if tag == "svg"] == titles


def test_hit_rates_and_expected_maxima_have_their_intervals(tmp_path):
    numbers = {f"generation/unconditional/{key}": value for key, value in (
        ("num_hits", 0.25), ("num_hits_low", 0.125), ("num_hits_high", 0.5),
        ("score_max@25", 0.75), ("score_max@25_low", None), ("score_max@25_high", None),
    )}  # fmt: skip
    text = " ".join(page([make_run(tmp_path / "run", **numbers)], tmp_path)[1].text.split())
    assert "0.250.125 to 0.5" in text.replace(" 0.125", "0.125")
    assert "0.75" in text


def test_the_same_runs_give_the_same_bytes(tmp_path):
    run = make_run(tmp_path / "mle")
    assert page([run], tmp_path)[0] == page([run], tmp_path)[0]


def test_numbers_notes_and_provenance_are_on_the_page(tmp_path):
    parsed = page([make_run(tmp_path / "mle", score=0.125)], tmp_path)[1]
    for text in (
        "mle, unconditional",
        "0.125",
        "0.115 to 0.135",
        "256 (3)",
        "2.5",
        "3.25",
        "seq_length: 64",
        '["phf"]',
    ):
        assert text in parsed.text
    assert "–" in parsed.text  # score_max@25 was not measured


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_samples_are_shown_as_text(text, tmp_path):
    samples = [sample([text], [0.1], prompt=text)]
    html, parsed = page([make_run(tmp_path / "run", samples=samples)], tmp_path)
    assert HOSTILE[text] in html
    assert has_only_our_scripts(html)
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert visible_text(text) in "".join(parsed.marked)
    assert not set(html) & set("\x1b\u202e\u2066\u200b")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_shown_as_text(text, tmp_path):
    scenario = "s " + text.replace("/", "")
    run = make_run(tmp_path / "run", method=text + " $x_{$", scenario=scenario.replace("\ud800", ""))
    html, parsed = page([run], tmp_path)
    assert has_only_our_scripts(html)
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert not set(html) & set("\x1b\u202e\u2066\u200b")
    assert visible_text(text) in parsed.text


@pytest.mark.filterwarnings("error")
def test_a_long_name_leaves_room_for_the_chart(tmp_path):
    assert "m" * 47 + "…" in page([make_run(tmp_path / "run", method="m" * 300)], tmp_path)[0]


def test_offending_segments_are_marked_and_no_others(tmp_path):
    samples = [sample(["a = 1\n", "b=2\n", "?\n", "c\t=3"], [0.0, 0.2, None, 0.1])]
    _, parsed = page([make_run(tmp_path / "run", samples=samples)], tmp_path)
    assert parsed.marked == ["b=2\n", "c\t=3"]
    titles = [attributes["title"] for tag, attributes in parsed.tags if tag == "mark"]
    assert titles == ["score 0.2", "score 0.1"]


def test_a_prompt_that_was_scored_too_is_shown_once(tmp_path):
    apart = sample(["tail"], [0.1], prompt="<head>")
    scored = sample(["<head>tail"], [0.1], prompt="<head>", continuation="tail")
    for name, one in (("apart", apart), ("scored", scored)):
        html, parsed = page([make_run(tmp_path / name, samples=[one])], tmp_path)
        assert parsed.text.count("<head>") == 1
        assert ('class="prompt"' in html) == (name == "apart")


def test_worst_median_best_and_random_samples_each_once(tmp_path):
    samples = [sample([f"sample-{i};"], [i / 100]) for i in range(30)] + [sample(["unscored;"], [None])]
    _, parsed = page([make_run(tmp_path / "run", samples=samples)], tmp_path)
    shown = re.findall(r"sample-\d+;", parsed.text)
    assert shown[:3] == ["sample-29;", "sample-0;", "sample-14;"]
    assert len(shown) == len(set(shown)) == 8
    assert "unscored;" not in parsed.text
    assert "(31 samples; marked above 0)" in parsed.text
    one = page([make_run(tmp_path / "one", samples=samples[:1])], tmp_path)[1]
    assert one.text.count("sample-0;") == 1


def test_only_the_samples_of_the_last_evaluation_are_shown_and_long_ones_are_cut(tmp_path):
    samples = [sample(["early"], [0.1], step=1), sample(["y" * 1000, "z" * 1000], [0.0, 0.1])]
    _, parsed = page([make_run(tmp_path / "run", samples=samples)], tmp_path)
    assert "early" not in parsed.text
    assert parsed.marked == ["z" * 200]
    assert "… (cut)" in parsed.text


def test_equal_scores_do_not_break_the_chart(tmp_path):
    """The mean of many 0.1s may lie outside its interval by a rounding error."""
    numbers = {"generation/unconditional/score_low": 0.1, "generation/unconditional/score_high": 0.1}
    run = make_run(tmp_path / "run", score=0.1 - 1e-17, **numbers)
    above = make_run(tmp_path / "above", score=0.10000000000000002, **numbers)
    assert "Misalignment against held-out loss" in page([run, above], tmp_path)[0]


def test_a_last_line_that_was_cut_off_is_left_out_and_noted(tmp_path):
    run = make_run(tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "tokens_seen": 192, "train/lm')
    assert len(read_run(run).metrics) == 4
    assert "metrics.jsonl was cut off in its last line." in page([run], tmp_path)[1].text


def test_an_unfinished_run_is_noted(tmp_path):
    assert "Unfinished: step 2 of 50." in page([make_run(tmp_path / "run", max_steps=50)], tmp_path)[1].text
    assert "Unfinished" not in page([make_run(tmp_path / "done")], tmp_path)[1].text


def test_a_run_that_was_stopped_before_its_first_evaluation_has_a_row_of_dashes(tmp_path):
    run = make_run(tmp_path / "run", max_steps=50)
    (run / "metrics.jsonl").write_text("")
    for path in (run / "samples").iterdir():
        path.unlink()
    (row,) = table_rows(read_runs([run]))
    assert (row["name"], row["score"]) == ("mle", None)
    assert "Unfinished: step 0 of 50." in page([run], tmp_path)[1].text


def test_a_folder_that_is_not_a_run_is_reported(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, what in (("folder", r"it has no metrics\.jsonl"), ("nowhere", "nothing has that name")):
        with pytest.raises(CorpusError, match=rf"is not a run folder: {what}\. Give a folder"):
            write_report([tmp_path / name], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.jsonl", b'{"step": 1\n{"step": 2, "tokens_seen": 1}\n', r"metrics\.jsonl, line 1: is not valid JSON"),
        ("metrics.jsonl", b'{"tokens_seen": 1}\n', r"metrics\.jsonl, line 1: has no 'step'"),
        ("metrics.jsonl", b"\xff\n", r"metrics\.jsonl, line 1: is not UTF-8"),
        ("metrics.jsonl", b"[1]\n", r"metrics\.jsonl, line 1: is a JSON list"),
        ("samples/unconditional.jsonl", b'{"step": 2}\n', r"unconditional\.jsonl, line 1: 'prompt' is missing"),
        ("provenance.json", b'{"method', r"provenance\.json: is not valid JSON"),
    ],
)
def test_damaged_files_name_file_and_line(file, content, message, tmp_path):
    run = make_run(tmp_path / "run")
    (run / file).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_run(run)


def test_a_page_that_cannot_be_written_says_so(tmp_path):
    run = make_run(tmp_path / "run")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report([run], run / "metrics.jsonl" / "report.html")


def test_runs_of_one_method_are_distinguished(tmp_path):
    folders = [
        make_run(tmp_path / name, method) for name, method in (("a", "mle"), ("b", "mle"), ("c", "ul"), ("d/a", "mle"))
    ]
    assert labels(read_runs(folders[:3])) == ["a", "b", "ul"]
    assert labels(read_runs(folders)) == ["a (1)", "b", "ul", "a (4)"]


def test_a_method_in_a_file_is_called_by_the_name_of_the_file(tmp_path):
    methods = {"a": "configs/mine.yml", "b": "pep8/awr", "c": "other/mine.yaml", "d": "v1.5"}
    folders = [make_run(tmp_path / name, method) for name, method in methods.items()]
    assert labels(read_runs([folders[0], folders[1], folders[3]])) == ["mine", "pep8/awr", "v1.5"]
    assert labels(read_runs(folders)) == ["a", "pep8/awr", "c", "v1.5"]


def test_numbers_by_hand():
    values = (None, float("nan"), 0.0, 3.0, 1234567, 0.000123456, 12345.678, 0.5)
    assert [format_number(v) for v in values] == ["–", "–", "0", "3", "1,234,567", "0.0001235", "12,346", "0.5"]


def test_segments_are_marked_above_the_runs_own_threshold(tmp_path):
    run = make_run(tmp_path / "run", samples=[sample(["mild;", "bad;", "none;"], [0.1, 0.3, None])])
    facts = json.loads((run / "provenance.json").read_text())
    (run / "provenance.json").write_text(json.dumps({**facts, "threshold": 0.1}))
    _, parsed = page([run], tmp_path)
    assert parsed.marked == ["bad;"]
    assert "marked above 0.1" in parsed.text


def test_other_scorers_and_numbers_of_whole_models_have_tables(tmp_path):
    run = make_run(tmp_path / "run")
    more = {
        "generation/prompted/RuffScorer/score": 0.012,
        "generation/prompted/RuffScorer/score_low": 0.011,
        "generation/prompted/RuffScorer/score_high": 0.013,
        "kl/nats_per_sequence": 12.5,
        "kl/nats_per_sequence_low": 12.25,
        "kl/nats_per_sequence_high": 12.75,
        "downstream/task/acc": 0.625,
        "downstream/task/acc_stderr": 0.0625,
    }
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 2, "tokens_seen": 200, **more}) + "\n")
    _, parsed = page([run], tmp_path)
    text = " ".join(parsed.text.split())
    assert "RuffScorer0.0120.011 to 0.013" in text.replace(" 0.011", "0.011")
    for scorer, role in (("PEP8Scorer", "held out"), ("RuffScorer", "used in training")):
        facts = json.loads((run / "provenance.json").read_text())
        data = [{"source": "s", "scorer": {"class_name": scorer}}]
        (run / "provenance.json").write_text(json.dumps({**facts, "dataset": data}))
        assert f"RuffScorer ({role})" in page([run], tmp_path)[1].text
    assert "kl/nats_per_sequence12.512.25 to 12.75" in text.replace(" 12.25", "12.25")
    assert "downstream/task/acc0.625" in text
    assert "_stderr" not in text
    assert "kl/nats_per_sequence_low" not in text


def with_schedule(folder, *phases):
    provenance = json.loads((folder / "provenance.json").read_text())
    schedule = [{"name": name, "from_tokens": start, "until_tokens": end} for name, start, end in phases]
    (folder / "provenance.json").write_text(json.dumps({**provenance, "schedule": schedule}))
    return folder


def test_the_phases_of_a_schedule_are_shaded_and_named_on_the_training_curve(tmp_path):
    phases = [("mle", 0, 64), ("cond<i>tional $x$", 64, 128)]
    runs = [with_schedule(make_run(tmp_path / name, "late-start"), *phases) for name in ("a", "b")]
    write_report([*runs, make_run(tmp_path / "mle")], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    curve = page[page.index("<h3>Training loss") : page.index("<h3>Misalignment while")]
    assert re.findall(r'data-phase="(\d)"', curve) == ["0", "1"]
    assert ">mle</text>" in curve
    assert ">cond&lt;i&gt;tional $x$</text>" in curve
    assert "Shaded: the phases of the schedule." in curve
    assert "data-phase" not in page[page.index("<h3>Misalignment while") :]


def test_of_several_schedules_each_has_a_strip_with_its_name(tmp_path):
    runs = [
        with_schedule(make_run(tmp_path / "a", "late-start"), ("mle", 0, 64), ("conditional", 64, 128)),
        with_schedule(make_run(tmp_path / "b", "cool-down"), ("conditional", 0, 100), ("mle", 100, 128)),
    ]
    write_report(runs, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert len(re.findall(r'data-phase="\d"', page)) == 4
    curve = page[page.index("<h3>Training loss") : page.index("<h3>Misalignment while")]
    assert len(re.findall(r">(?:late-start|cool-down)</text>", curve)) == 4  # in the legend, and in the strips
    assert "a strip for each" in page
