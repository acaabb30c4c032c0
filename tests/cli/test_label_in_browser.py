"""The whole way in a real browser: twenty answers by key on the page -> reward model -> annotated corpus -> training."""

import asyncio
import json
import random
import re
import shutil
import subprocess
import time
from contextlib import contextmanager

import aiohttp
import pytest
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

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def phf(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@contextmanager
def browser(folder, url):
    """Address of the DevTools of a headless Chromium that shows a page."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    process = subprocess.Popen([CHROMIUM, *options, url], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        for line in process.stderr:
            if match := re.search(r"ws://(127\.0\.0\.1:\d+)/", line):
                yield f"http://{match[1]}"
                return
        raise AssertionError("Chromium did not start")
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def answer_by_key(devtools, session, key_of):
    """Press the key for the text that the page shows until all questions are answered; returns the texts."""
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{devtools}/json/list") as response:
            (page,) = [target for target in await response.json() if target["type"] == "page"]
        async with client.ws_connect(page["webSocketDebuggerUrl"]) as socket:
            numbers = iter(range(1, 10_000))

            async def call(method, **parameters):
                number = next(numbers)
                await socket.send_json({"id": number, "method": method, "params": parameters})
                while (answer := await socket.receive_json(timeout=30)).get("id") != number:
                    pass
                return answer.get("result", {})

            async def shown():
                evaluated = await call(
                    "Runtime.evaluate", expression="document.querySelector('pre')?.textContent ?? ''"
                )
                return evaluated.get("result", {}).get("value", "")

            texts = []
            while session.current is not None:
                deadline = time.monotonic() + 30
                while (text := await shown()) != session.current.segments[0].text:
                    assert time.monotonic() < deadline, f"the page shows {text!r}"
                    await asyncio.sleep(0.01)
                done, key = session.num_done, key_of(text)
                await call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
                await call("Input.dispatchKeyEvent", type="keyUp", key=key)
                while session.num_done == done:
                    assert time.monotonic() < deadline, "the key had no effect"
                    await asyncio.sleep(0.01)
                texts.append(text)
            return texts


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_keys_on_the_page_become_a_reward_model_that_a_run_is_trained_on(tiny_base, tmp_path):  # noqa: F811
    generator = random.Random(2)
    corpus = tmp_path / "corpus.jsonl"
    texts = [letters(generator, bad) for bad in [False, True] * 30]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    labels = tmp_path / "labels.jsonl"
    session = prepare_session(
        Journal(labels), str(corpus), "ann", "ratings", "random", (), 20, Scale(1, 5), "document", 0
    )
    with serving(session) as server, browser(tmp_path / "profile", server.url) as devtools:
        answered = asyncio.run(answer_by_key(devtools, session, lambda text: "5" if "z" in text else "1"))
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
