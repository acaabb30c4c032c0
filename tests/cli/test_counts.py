"""What commands count is worded after its number."""

import pytest
from tests.tiny import tiny_config
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.training.micro_batch import out_of_memory
from phf.training.plan import plan_run


@pytest.mark.parametrize(("texts", "counts"), [(1, "1 document, 1 segment,"), (2, "2 documents, 2 segments,")])
def test_what_was_annotated_is_counted_in_words_of_its_number(texts, counts, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x = 1"}\n' * texts)
    arguments = ["annotate", str(tmp_path / "a.jsonl"), "--scorer", "ProfanityScorer", "--segment", "document"]
    result = CliRunner().invoke(cli.app, [*arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert counts in " ".join(result.output.split())


@pytest.mark.parametrize(("size", "counts"), [(1, "with 1 block of 64 tokens"), (2, "with 2 blocks of 64 tokens")])
def test_a_step_that_does_not_fit_is_described_in_words_of_its_number(size, counts, tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    plan = plan_run(tiny_config(str(tmp_path), **{"training.per_device_train_batch_size": size}), tmp_path / "run")
    assert counts in str(out_of_memory(plan, 3))
