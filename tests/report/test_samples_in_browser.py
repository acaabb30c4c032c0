"""The sample browser of the report, in Chromium."""

import hashlib
import json

import pytest
from playwright.sync_api import expect
from tests.browser import NARROW, accessibility_faults, assert_accessible
from tests.report.test_origins import HOSTILE_TEXT, detection, make_audit, origin
from tests.report.test_page import HOSTILE, make_run, sample

from phf.report.page import write_report
from phf.report.sample_chunks import LARGEST_CHUNK, MAX_CHARS
from phf.text import visible_text

pytestmark = pytest.mark.browser

MLE = [sample([f"mle {i}; ", "tail"], [i / 50, 0.0], prompt=f"prompt {i} ") for i in range(30)]
ALIGNED = [sample([f"aligned {i}; "], [0.2 - i / 200], prompt=f"prompt {i} ") for i in reversed(range(25))]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Two models in one scenario, by different scorers; the first has another scenario too, of Python."""
    folder = tmp_path_factory.mktemp("report")
    mle = make_run(folder / "mle", "mle", samples=[*MLE, sample(["none"], [None], prompt="unscored ")])
    code = sample(["def f(x):\n", "    return 'x'  # why\n"], [0.0, 0.03])
    code["segment_spans"] = [[{"start": 4, "end": 5, "label": "N802"}], []]
    (mle / "samples" / "code.jsonl").write_text(json.dumps(code) + "\n")
    aligned = make_run(folder / "aligned", "conditional", samples=ALIGNED)
    facts = json.loads((aligned / "provenance.json").read_text())
    (aligned / "provenance.json").write_text(json.dumps({**facts, "scorer": {"class_name": "Scorer" + 40 * "r"}}))
    write_report([mle, aligned], folder / "report.html")
    return folder / "report.html"


def ready(page):
    expect(page.locator("#sample-browser")).to_be_visible()
    return page


def counted(page, text):
    expect(page.locator(".count")).to_have_text(text)


def scores(page):
    return [
        text.removeprefix("score ") for text in page.locator(".sample:visible header span:last-child").all_inner_texts()
    ]


def test_all_samples_can_be_filtered_sorted_and_paged_through(open_page, report):
    page = ready(open_page(report))
    counted(page, "1 to 20 of 57 samples")
    assert scores(page)[:3] == ["0.29", "0.28", "0.27"]
    expect(page.locator("#some-samples")).to_be_hidden()
    page.click("text=Next")
    counted(page, "21 to 40 of 57 samples")
    page.click("text=Next")
    counted(page, "41 to 57 of 57 samples")
    assert scores(page)[-1] == "not scored"
    expect(page.locator(".next")).to_be_disabled()
    page.click("text=Previous")
    counted(page, "21 to 40 of 57 samples")

    page.select_option("[name=model]", "conditional")
    counted(page, "1 to 20 of 25 samples")
    page.select_option("[name=order]", "best first")
    expect(page.locator(".sample:visible header span:last-child").first).to_have_text("score 0.08")
    page.fill("[name=least]", "0.1")
    page.fill("[name=most]", "0.15")
    counted(page, "1 to 11 of 11 samples")  # 0.1, 0.105, ..., 0.15
    page.select_option("[name=model]", "")
    counted(page, "1 to 17 of 17 samples")  # and 0.1, 0.11, ..., 0.15
    page.select_option("[name=scenario]", "code")
    counted(page, "No sample is like that.")
    page.fill("[name=least]", "")
    page.fill("[name=most]", "")
    page.select_option("[name=scenario]", "")
    page.fill("[name=text]", "PROMPT 2")
    counted(page, "1 to 17 of 17 samples")
    page.fill("[name=text]", "aligned 24;")
    counted(page, "1 to 1 of 1 samples")
    assert page.locator(".sample:visible pre").inner_text().startswith("prompt 24 aligned 24;")
    page.fill("[name=text]", "unscored none")
    counted(page, "1 to 1 of 1 samples")


def test_two_models_stand_side_by_side_on_the_same_prompts(open_page, report):
    page = ready(open_page(report))
    page.select_option("[name=other]", "conditional")
    counted(page, "1 to 10 of 25 pairs")
    assert page.input_value("[name=model]") == "mle"
    for pair in page.locator(".pair").all():
        prompt = pair.locator("pre.prompt").inner_text()
        number = prompt.split()[1]
        mle, aligned = pair.locator(".sample pre").all_inner_texts()
        assert (mle.split(";")[0], aligned.split(";")[0]) == (f"mle {number}", f"aligned {number}")
    # 0.2 for prompt 0, where MLE has 0
    assert page.locator(".pair > p").first.inner_text() == "conditional scores 0.2 higher (worse) than mle."
    page.select_option("[name=order]", "second is better")
    expect(page.locator(".pair > p").first).to_have_text("conditional scores 0.16 lower (better) than mle.")
    page.fill("[name=least]", "0.2")
    counted(page, "1 to 5 of 5 pairs")  # of the first model, prompts 20 to 24
    page.select_option("[name=other]", "")
    counted(page, "1 to 10 of 10 samples")
    assert page.input_value("[name=order]") == "worst"


def test_segments_show_their_score_to_the_mouse_and_to_the_keyboard(open_page, report):
    page = ready(open_page(report))
    page.fill("[name=text]", "mle 29;")
    counted(page, "1 to 1 of 1 samples")
    card = page.locator(".sample:visible")
    assert card.locator("mark").all_inner_texts() == ["mle 29; "]
    heats = card.locator(".segment").evaluate_all("parts => parts.map(part => part.style.getPropertyValue('--heat'))")
    assert heats == ["1.000", "0.000"]
    card.locator("mark").hover()
    expect(card.locator(".segment-note")).to_have_text("Segment 1 of 2: score 0.58")
    card.locator("pre").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(card.locator(".segment-note")).to_have_text("Segment 2 of 2: score 0")
    page.check("[name=numbers]")
    expect(card.locator("sup")).to_have_text(["0.58", "0"])


def test_python_is_coloured_and_detections_are_underlined(open_page, report):
    page = ready(open_page(report))
    page.select_option("[name=scenario]", "code")
    counted(page, "1 to 1 of 1 samples")
    assert page.locator(".sample:visible u").get_attribute("title") == "N802"
    assert page.locator(".code-keyword").count() == 0
    page.check("[name=code]")
    expect(page.locator(".code-keyword")).to_have_text(["def", "return"])
    assert page.locator(".code-string, .code-comment").all_inner_texts() == ["'x'", "# why"]
    assert page.locator(".sample:visible pre").inner_text() == "def f(x):\n    return 'x'  # why\n"


def test_hostile_texts_are_shown_as_text(open_page, tmp_path):
    samples = [sample([text, "."], [0.1, 0.2], prompt=text) for text in HOSTILE]
    samples.append(sample(["long " * MAX_CHARS], [0.3], prompt="W" * 5000))
    for text in ("<script>alert(1)</script>", "\x1b[31m\u202e"):
        samples[-1]["segment_spans"] = [[{"start": 0, "end": 4, "label": text}]]
    name = "<img src=x onerror=alert(1)>\u202e" + 99 * "m"
    run = make_run(tmp_path / "run", name, samples=samples)
    write_report([run], tmp_path / "report.html")
    page = ready(open_page(tmp_path / "report.html", width=NARROW))
    page.on("dialog", lambda dialog: open_page.note(dialog.message))
    shown = page.locator(".sample:visible pre").all_inner_texts()
    assert len(shown) == len(samples)
    for text in HOSTILE:
        assert 2 * visible_text(text) + "." in shown
    assert "… (16,000 characters left out)" in shown[0]
    assert page.locator(".sample:visible u").get_attribute("title") == visible_text("\x1b[31m\u202e")
    assert page.locator(".sample:visible header span").first.inner_text() == visible_text(name) + ", unconditional"
    assert page.locator("#sample-browser :is(img, script)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW
    page.fill("[name=text]", "onerror=alert(2)")
    counted(page, "1 to 1 of 1 samples")


def test_samples_beyond_the_limit_are_counted_on_the_page(open_page, tmp_path):
    samples = [sample([hashlib.sha256(b"%d" % i).hexdigest()], [i / 1000]) for i in range(3 * LARGEST_CHUNK)]
    write_report([make_run(tmp_path / "run", samples=samples)], tmp_path / "report.html", samples_mb=0.012)
    page = ready(open_page(tmp_path / "report.html"))
    counted(page, "1 to 20 of 200 samples")
    assert "200 of 300 samples are in this page" in page.locator("#sample-browser").inner_text()
    write_report([make_run(tmp_path / "other", samples=samples)], tmp_path / "report.html", samples_mb=0)
    page = ready(open_page(tmp_path / "report.html"))
    counted(page, "No sample is like that.")
    assert "0 of 300 samples are in this page" in page.locator("#sample-browser").inner_text()


def test_without_scripts_a_few_samples_and_a_note_are_shown(open_page, report):
    page = open_page(report, java_script_enabled=False)
    expect(page.locator("#sample-browser")).to_be_hidden()
    expect(page.locator("#samples-note")).to_contain_text("A few samples of each model.")
    assert scores(page)[:3] == ["0.015", "0.29", "0"]  # of code, and the worst and the best of the other scenario


def test_where_nothing_can_be_unpacked_a_few_samples_and_a_note_are_shown(open_page, report):
    context = open_page.browser.new_context()
    context.add_init_script("delete window.DecompressionStream")
    page = context.new_page()
    page.goto(report.as_uri())
    expect(page.locator("#samples-note")).to_contain_text(
        "This browser could not unpack the samples (DecompressionStream is not defined)"
    )
    assert page.locator(".sample:visible").count() > 8
    context.close()


def test_the_sample_browser_is_accessible(open_page, report):
    page = ready(open_page(report))
    page.check("[name=code]")
    page.check("[name=numbers]")
    assert_accessible(page, inside="#sample-browser")
    page.select_option("[name=other]", "conditional")
    expect(page.locator(".pair").first).to_be_visible()
    assert accessibility_faults(page, inside="#sample-browser") == []


def test_where_samples_come_from_is_seen_at_a_glance_and_unfolds(open_page, tmp_path):
    text = f"call 6417-2285 {HOSTILE_TEXT}"
    samples = [sample([text], [0.9]), sample(["call 9999"], [0.8]), sample(["plain text"], [0.1])]
    run = make_run(tmp_path / "mle", "mle", samples=samples)
    there, absent = detection(5, "6417-2285", 3, f"d7 {HOSTILE_TEXT}"), detection(5, "9999", 0)
    audit = make_audit(
        tmp_path / "audit",
        origin(text, 0, [there]),
        origin("call 9999", 1, [absent], longest=None, neighbours=[]),
    )
    write_report([run, audit], tmp_path / "report.html")
    page = ready(open_page(tmp_path / "report.html"))
    assert page.locator(".sample:visible .origin").all_inner_texts() == ["copied", "made up"]
    first = page.locator(".sample:visible").first
    assert first.locator("pre").first.locator(".copied-span").all_inner_texts() == ["6417-2285"]
    first.get_by_text("Where this comes from").click()
    panel = first.locator(".origins")
    expect(panel).to_contain_text(
        "In the training data: phone “6417-2285”, 3 times, first in d7 " + visible_text(HOSTILE_TEXT)[:9]
    )
    expect(panel.locator("pre .copied-span")).to_have_text("6417-2285")
    assert visible_text(HOSTILE_TEXT) in panel.locator("pre").inner_text()
    assert_accessible(page, "#sample-browser")
    page.select_option("[name=origin]", "made up")
    counted(page, "1 to 1 of 1 samples")
    page.select_option("[name=origin]", "looked for")
    counted(page, "1 to 2 of 2 samples")
    page.select_option("[name=origin]", "all")
    counted(page, "1 to 3 of 3 samples")
