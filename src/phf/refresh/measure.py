"""What is measured on the model of each round: the run's own task, and how far the model is from the start."""

from pathlib import Path
from typing import Any

from phf.config import KLConfig, KLReferenceConfig
from phf.errors import ConfigError
from phf.evaluation.kl.estimate import kl_from_samples
from phf.evaluation.kl.local_reference import LocalReference
from phf.evaluation.model_evaluation import Announce, ModelEvaluation
from phf.models.context import context_of
from phf.models.model_folder import load_folder_lm, load_folder_tokenizer
from phf.models.prompting import prompting_of
from phf.refresh.settings import RefreshSettings
from phf.refresh.start import Start
from phf.runs.writer import finite_or_none
from phf.sampling.division import ALONE
from phf.tokens.document_start import prefix_ids

PARTS = ("generation", "diversity", "held-out")
KL = "kl/nats_per_sequence"
KL_KEYS = (KL, f"{KL}_low", f"{KL}_high", "kl/nats_per_character", "kl/num_samples")
NO_KL = dict(zip(KL_KEYS, (0.0, 0.0, 0.0, 0.0, 0), strict=True))
"""Of the start from itself."""
Numbers = dict[str, float | None]


def opened(model: Path, name: str, start: Start, output: Path, announce: Announce) -> ModelEvaluation:
    """A model with the run's task; its results are kept in `output`."""
    threshold = prompting_of(model, load_folder_tokenizer(model)).threshold or 0.0
    return ModelEvaluation(model, name, start.config, output, threshold, PARTS, announce, ALONE)


def task_numbers(model: ModelEvaluation) -> Numbers:
    """Scores of samples and held-out loss, with intervals; parts that are finished in its folder are kept.

    Without rates, which differ when the same is measured again.
    """
    model.check_output()
    numbers: Numbers = finite_or_none(model.run())
    return {key: value for key, value in numbers.items() if not key.endswith("_per_second")}


def num_tokens_of_kl(start: Path, tokenizer: Any, lm_config: Any, settings: RefreshSettings) -> tuple[list[int], int]:
    """(what is in front of the samples for KL, the most tokens of one). Raises `ConfigError` where there is no room."""
    given = prefix_ids(tokenizer, prompting_of(start, tokenizer).prefix)
    context = context_of(lm_config)
    most = settings.kl_tokens if context is None else min(settings.kl_tokens, context - len(given))
    if most < 1:
        raise ConfigError(
            f"KL from the start needs samples, but the model's context of {context} has no room for one behind the "
            f"{len(given)} tokens that begin it. Refresh a model with a longer context."
        )
    return given, most


def kl_from_start(model: Path, start: Path, settings: RefreshSettings) -> Numbers:
    """KL(model || start) in nats per sequence, estimated from samples of `model`; >= 0 but for sampling error.

    The mean of log p(x) under the model - log p(x) under the start, x being whole texts up to `kl_tokens` tokens, drawn
    from the model at temperature 1 from its whole distribution, after the beginning of a document and, in a model with
    control tokens, its best one. What is in front of the text is given to both, and probability on control tokens is spread
    over the others, as in sampling. `_low`, `_high`: 95% interval over samples.
    """
    lm, tokenizer = load_folder_lm(start), load_folder_tokenizer(start)
    given, most = num_tokens_of_kl(start, tokenizer, lm.config, settings)
    section = KLConfig(
        reference=KLReferenceConfig(path_or_name=str(model)),
        num_samples=settings.kl_samples,
        max_tokens=most,
        seed=settings.seed,
    )
    try:
        samples = LocalReference(str(model), None).draw(section)
        numbers = kl_from_samples(lm, tokenizer, samples, prefix_ids=given, batch_size=section.batch_size)
    except ConfigError as error:  # which names the key of a training run
        raise ConfigError(str(error).replace("kl_gpt3_callback.max_tokens", "--kl-tokens")) from None
    return {key: finite_or_none(numbers[key]) for key in KL_KEYS}
