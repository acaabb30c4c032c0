"""The whole way in a real browser: twenty answers by key on the page -> reward model -> annotated corpus -> training."""

import json
import random
import time

import pytest
from playwright.sync_api import expect
from tests.labels.conftest import wait_until_meant
from tests.reward.conftest import letters, tiny_base  # noqa: F401
from tests.tiny import losses, tiny_config
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.config import dump_config
from phf.corpus.dataset import read_annotated
from phf.labels.ask import prepare_session
from phf.labels.journal import Journal
from phf.labels.scale import Scale
from phf.labels.server import serving


def phf(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def answer_by_key(page, session, key_of):
    """Press the key for the text that the page shows until all questions are answered; returns the texts."""
    texts = []
    while (question := session.current) is not None:
        text = question.segments[0].text
        expect(page.locator("pre").first).to_have_text(text, timeout=30_000)
        wait_until_meant(page)
        page.keyboard.press(key_of(text))
        deadline = time.monotonic() + 30
        while session.num_done == len(texts):
            assert time.monotonic() < deadline, "the key had no effect"
            page.wait_for_timeout(10)
        texts.append(text)
    return texts


@pytest.mark.slow
@pytest.mark.browser
def test_keys_on_the_page_become_a_reward_model_that_a_run_is_trained_on(tiny_base, tmp_path, open_page):  # noqa: F811
    generator = random.Random(2)
    corpus = tmp_path / "corpus.jsonl"
    texts = [letters(generator, bad) for bad in [False, True] * 30]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    labels = tmp_path / "labels.jsonl"
    session = prepare_session(
        Journal(labels), str(corpus), "ann", "ratings", "random", (), 20, Scale(1, 5), "document", 0
    )
    with serving(session) as server:
        answered = answer_by_key(open_page(server.url), session, lambda text: "5" if "z" in text else "1")
        assert server.finished.wait(30)
    lines = [json.loads(line) for line in labels.read_text().splitlines()]
    assert [(line["text"], line["rating"]) for line in lines] == [(t, 5 if "z" in t else 1) for t in answered]
    assert len(answered) == 20

    fast = ("--learning-rate", "0.01", "--epochs", "10", "--batch-size", "4", "--curve", "none")
    phf("reward", labels, "--base", tiny_base, "--output", tmp_path / "reward", *fast)
    scorer = f"{{class_name: ClassifierScorer, path_or_name: {tmp_path / 'reward'}}}"
    annotated = tmp_path / "annotated"
    phf("annotate", corpus, "--scorer", scorer, "--segment", "document", "--output", annotated, "--workers", "1")
    scores = {document.texts[0]: document.scores[0] for document in read_annotated(str(annotated))}
    good, bad = ([score for text, score in scores.items() if ("z" in text) is is_bad] for is_bad in (False, True))
    assert max(good) < 0.5 < min(bad)

    config = tmp_path / "config.yaml"
    config.write_text(dump_config(tiny_config(str(annotated), "conditional", **{"training.num_tokens": 2 * 4 * 64})))
    phf("train", "--config", config, "--run-name", "run", "--output-dir", tmp_path)
    assert len(losses(tmp_path / "run")) == 2
