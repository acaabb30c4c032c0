"""Any causal LM of transformers measured on a task: how aligned its samples are, and how diverse.

python examples/evaluate_any_model.py OUTPUT MODEL... [KEY=VALUE ...]

A MODEL is a folder, a run folder, or OWNER/NAME on the Hub; it need not have been trained by phf. Several are compared with the
first.
"""

import sys
from pathlib import Path

from phf.config import load_config
from phf.evaluation.run import evaluate_folders

SCENARIO = "generation.scenario_configs.0"
TASK = (
    "generation.scorer_config={class_name: PEP8Scorer}",
    f"{SCENARIO}.num_samples=256",
    f"{SCENARIO}.generate_kwargs={{do_sample: true, temperature: 0.7, top_p: 0.9, max_new_tokens: 64}}",
)
"""The quickstart's prompts, headers of functions, continued and scored; any task or scorer can be put here."""


def main(output: Path, models: list[str], overrides: list[str]) -> dict[str, dict[str, float]]:
    """Measure, print and compare; returns the numbers of each model."""
    config, _ = load_config(task="pep8/quickstart", overrides=[*TASK, *overrides], for_models=True)
    evaluation = evaluate_folders(
        [Path(model) for model in models], config, output, parts=["generation", "diversity"], announce=print
    )
    for name, numbers in evaluation.numbers.items():
        print(name)
        for key, value in sorted(numbers.items()):
            print(f"  {key:<50} {value:.4g}")
    for comparison in evaluation.comparisons:
        print(comparison.describe())
    return evaluation.numbers


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    words = sys.argv[2:]
    main(Path(sys.argv[1]), [word for word in words if "=" not in word], [word for word in words if "=" in word])
