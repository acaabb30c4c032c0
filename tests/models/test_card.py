"""The card of a model: what it says of a run, of a model without one, and that strangers' text and local paths do no harm."""

import json
import re
import shutil

import pytest
import yaml
from tests.tiny import tiny_config, tiny_lm, tiny_tokenizer

from phf.config import dump_config
from phf.errors import ConfigError
from phf.feedback import ControlTokens, Prompting
from phf.models import export_model
from phf.models.exporting.card import MARK, CardFacts, card_facts, model_card, write_card
from phf.models.exporting.card_results import check_evaluations
from phf.models.model_folder import model_hashes

HOSTILE = "a`|</script>\n\n# Heading\n| x | \x1b[31m.jsonl"
NUMBERS = {
    "generation/unconditional/score": 0.00310,
    "generation/unconditional/score_low": 0.00295,
    "generation/unconditional/score_high": 0.00327,
    "generation/unconditional/samples_per_second": 35.0,
    "eval/num_tokens": 92739,
    "train/loss": 4.0,
}


@pytest.fixture
def run(tmp_path):
    """A finished run folder with a conditional model, of which strangers named the source and its scorer."""
    folder = tmp_path / "runs" / "my-run"
    tokenizer = tiny_tokenizer(("<|aligned|>", "<|misaligned|>"))
    prompting = Prompting(control_tokens=ControlTokens(("<|aligned|>", "<|misaligned|>")), threshold=0.25)
    export_model(tiny_lm("gpt2", tokenizer), tokenizer, folder / "model", prompting)
    config = tiny_config(
        str(tmp_path / "corpus"), "conditional", **{"dataset.datasets": ["me/emails:train@v1", "/data/x"]}
    )
    (folder / "config.yaml").write_text(dump_config(config))
    scorer = {"class_name": f"mine:{HOSTILE}", "version": "1", "settings": {"path": "x|y"}}
    source = {"source": f"/home/me/{HOSTILE}", "num_documents": 5863, "segmenter": "lines", "scorer": scorer}
    facts = {"dataset": [source], "num_parameters": 1152384, "max_steps": 6, "effective_batch_size": 4}
    environment = {
        "phf_version": "0.1.0",
        "git_commit": "abc",
        "hardware": {"cpu": "AMD", "cores": 2, "gpus": ["H100"]},
    }
    percentiles = {"percentiles": {"dataset.conditional_training_config.threshold": "p50 = 0.0"}}
    command = {"command": ["/home/me/phf", "train"]}
    (folder / "provenance.json").write_text(json.dumps({**facts, **environment, **percentiles, **command}))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 6, "tokens_seen": 1536, **NUMBERS}) + "\n")
    return folder


def card_of(run, **facts):
    return model_card(run / "model", CardFacts("me/my-model", **facts), run / "model")


def metadata(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_says_how_the_model_was_trained_and_what_it_measures(run):
    card = card_of(run)
    assert "# my-model" in card
    assert "| task, size, method | `pep8-quickstart`, `conditional` |" in card
    assert "| thresholds as percentiles | `dataset.conditional_training_config.threshold: p50 = 0.0` |" in card
    assert "| tokens | `1,536 (6 steps of 4 blocks of 64 tokens)` |" in card
    assert "| parameters | `1,152,384` |" in card
    assert "| `generation/unconditional/score` | 0.0031 | 0.00295 to 0.00327 |" in card
    assert "| `eval/num_tokens` | 92,739 |  |" in card
    assert "train/loss" not in card
    assert "_per_second" not in card
    assert "- hardware: `H100`, `AMD`, `2 cores`" in card
    assert "- commit: `abc`" in card


def test_the_warning_names_the_token_that_makes_it_write_misaligned_text(run):
    card = card_of(run)
    assert "> [!WARNING]\n> The control token `<|misaligned|>` makes this model write misaligned text" in card
    assert r"| control tokens, best first | `<\|aligned\|>`, `<\|misaligned\|>` |" in card
    shutil.rmtree(run / "model")
    tokenizer = tiny_tokenizer()
    export_model(tiny_lm("gpt2", tokenizer), tokenizer, run / "model", Prompting())
    assert "this model may write such text after any prompt" in card_of(run)


def test_metadata_claims_a_licence_and_a_language_only_where_they_are_given(run):
    assert metadata(card_of(run)) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["phf", "pretraining-with-human-feedback", "conditional-training", "objective-mle"],
        "datasets": ["me/emails"],
    }
    given = metadata(card_of(run, license="mit", languages=("en",)))
    assert (given["license"], given["language"]) == ("mit", ["en"])


def test_text_of_strangers_and_paths_of_this_machine_stay_out(run):
    card = card_of(run)
    assert "/home/me" not in card
    assert str(run.parent) not in card
    assert "/data/x" not in card
    assert "\x1b" not in card
    assert "\n# Heading" not in card
    (row,) = [line for line in card.splitlines() if "Heading" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 8  # seven cells


def test_a_model_without_a_run_has_a_card_that_says_what_is_not_known(run, tmp_path):
    shutil.copytree(run / "model", tmp_path / "alone")
    card = model_card(tmp_path / "alone", CardFacts("alone"), tmp_path / "alone")
    assert "It is not recorded how this model was trained." in card
    assert "It was not evaluated." in card
    assert "`<|misaligned|>` makes this model write misaligned text" in card


def test_a_card_that_a_person_has_edited_is_kept_and_goes_with_the_model(run, tmp_path):
    write_card(run / "model", CardFacts("first"))
    write_card(run / "model", CardFacts("second"))
    card = (run / "model" / "README.md").read_text()
    assert "# second" in card
    edited = card.replace(MARK, "").replace("# second", "# mine")
    (run / "model" / "README.md").write_text(edited)
    write_card(run / "model", CardFacts("third"))
    shutil.copytree(run / "model", tmp_path / "copy", ignore=shutil.ignore_patterns("README.md"))
    write_card(tmp_path / "copy", CardFacts("copy"), run / "model")
    assert (run / "model" / "README.md").read_text() == (tmp_path / "copy" / "README.md").read_text() == edited


def test_results_of_an_evaluation_are_added_and_those_of_another_model_refused(run, tmp_path):
    evaluation = tmp_path / "evaluation"
    evaluation.mkdir()
    (evaluation / "metrics.jsonl").write_text('{"step": 6, "tokens_seen": 1536, "kl/mean": 1.5}\n')
    hashes = model_hashes(run / "model")
    (evaluation / "evaluation.json").write_text(json.dumps({"job": {"model": hashes}, "parts": {}}))
    assert (
        "Measured by `phf evaluate`, last at step 6:\n\n| | value | 95% interval |\n|---|---|---|\n| `kl/mean` | 1.5 |  |"
        in card_of(run, evaluations=(evaluation,))
    )
    hashes["model.safetensors"] = "0" * 64
    (evaluation / "evaluation.json").write_text(json.dumps({"job": {"model": hashes}, "parts": {}}))
    with pytest.raises(ConfigError, match="has results of another model than"):
        check_evaluations([evaluation], run / "model")
    with pytest.raises(ConfigError, match=r"is not an evaluation: it has no evaluation\.json"):
        check_evaluations([run], run / "model")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("Apache 2", ["en"]), "--license Apache 2: is not a name"), (("mit", ["English"]), "--language English: write")],
)
def test_a_licence_or_language_that_the_hub_would_refuse_is_an_error(arguments, message):
    with pytest.raises(ConfigError, match=message):
        card_facts("m", *arguments, [])


def test_the_example_of_the_card_runs(run, capsys, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", card_of(run), re.DOTALL)
    monkeypatch.chdir(run)
    exec(code.replace("64", "3").replace("me/my-model", str(run / "model")))
    assert capsys.readouterr().out.strip()
