"""A corpus scored and a model trained on it, from Python.

python examples/annotate_and_train.py CORPUS OUTPUT [KEY=VALUE ...]

CORPUS is Python code. A few minutes on two cores; training.num_tokens=3e5, for example, makes it shorter.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from phf.annotate.runner import annotate
from phf.config import load_config
from phf.profile.measure import profile_dataset
from phf.training.run import train


def show(step: int, max_steps: int, values: Mapping[str, float]) -> None:
    """The training loss, at the steps that have one."""
    if "lm_loss" in values:
        print(f"step {step} of {max_steps}: loss {values['lm_loss']:.3f}")


def main(corpus: str, output: Path, overrides: list[str]) -> dict[str, float]:
    """Annotate, look at the scores, train with control tokens; returns the numbers of the last evaluation."""
    dataset = output / "annotated"
    manifest = annotate([corpus], {"class_name": "PEP8Scorer"}, "lines", dataset, workers=1, announce=print)
    print(f"{manifest.num_documents:,} documents, {manifest.num_segments:,} segments")

    profile = profile_dataset(str(dataset), percentiles=[90])
    for percentile in profile.levels["segment"].percentiles:
        print(f"p{percentile.percentile:g} of the segments: {percentile.threshold}")

    task = [
        f"dataset.datasets={json.dumps([str(dataset)])}",  # instead of the quickstart's own corpus
        "generation.scenario_configs.0.prompts_path=null",  # samples from nothing but the control token
        "generation.scenario_configs.0.use_prompt_for_scoring=false",
    ]
    config, warnings = load_config(task="pep8/quickstart", method="conditional", overrides=[*task, *overrides])
    for warning in warnings:
        print(warning)
    numbers = train(
        config,
        output / "run",
        resume=(output / "run").exists(),  # from its last checkpoint, if it was interrupted
        announce=print,
        show=show,
    )
    score, loss = numbers["generation/prompted/score"], numbers["eval/loss"]
    print(f"Mean score of the samples: {score:.4f}; held-out loss: {loss:.3f} nats per token")
    print(f"The model is in {output / 'run' / 'model'}; from_pretrained of transformers loads it.")
    return numbers


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
