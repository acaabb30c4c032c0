"""Models whose samples depend on their batch, such as those that read padding as text: detected by a test run, and
batched so that it makes no difference."""

from collections.abc import Iterator
from enum import Enum
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from phf.models.context import context_of
from phf.models.vocabulary import num_rows
from phf.sampling.loop import PromptRows
from phf.sampling.static_cache import forget, pad_left

LENGTHS = (2, 7)
"""Tokens of the two test prompts."""
NUM_STEPS = 3
"""Tokens added to them: positions may go wrong only then."""
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-3}
"""Difference of logits, relative to their standard deviation, that counts as rounding; other dtypes: `COARSE`."""
COARSE = 0.3


class Together(Enum):
    """Which prompts a model may be run on together, such that each is continued as by itself."""

    ANY = "of any lengths, padded on the left"
    ONE_LENGTH = "of one length: padding is read as text"
    ALONE = "one at a time: rows of a batch are mixed up"


_known: WeakKeyDictionary[PreTrainedModel, dict[bool, tuple[int, Together]]] = WeakKeyDictionary()


def batches(lengths: list[int], batch_size: int, together: Together) -> Iterator[list[int]]:
    """Rows in order of length, at most `batch_size` at a time, and only those that may be run together."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    size = 1 if together is Together.ALONE else batch_size
    begin = 0
    while begin < len(order):
        end = min(begin + size, len(order))
        if together is Together.ONE_LENGTH:
            end = next((i for i in range(begin, end) if lengths[order[i]] != lengths[order[begin]]), end)
        yield order[begin:end]
        begin = end


def runs_together(model: PreTrainedModel, *, in_own_loop: bool) -> Together:
    """Which prompts may share a batch of `model`, which is in eval mode.

    Recurrent and convolutional layers often ignore the attention mask, some models count positions from the padding, and
    some mix up the rows of a batch. Tested with fixed tokens after a short prompt: alone, with one of the same length,
    and with a long one. The result is valid until the weights change: a layer that starts at zero has no effect at first.

    Args:
        in_own_loop: tested in our own loop, which provides masks and positions itself; otherwise by `model.generate`.
    """
    version = sum(0 if parameter.is_inference() else parameter._version for parameter in model.parameters())
    known = _known.setdefault(model, {})
    if in_own_loop not in known or known[in_own_loop][0] != version:
        known[in_own_loop] = (version, _try(model, in_own_loop))
    return known[in_own_loop][1]


@torch.inference_mode()
def _try(model: PreTrainedModel, in_own_loop: bool) -> Together:
    context = context_of(model.config)
    if context is not None and context < max(LENGTHS) + NUM_STEPS:
        return Together.ALONE  # too short to test, and so short that it costs nothing
    size = num_rows(model)
    short, long = ([(number * 7 + 3) % size for number in range(length)] for length in LENGTHS)
    other = [(token + 1) % size for token in short]
    run = _run_own_loop if in_own_loop else _run_generate
    alone, beside, padded = (run(model, prompts)[:, 0] for prompts in ([short], [short, other], [short, long]))
    rounding = TOLERANCES.get(model.dtype, COARSE) * float(alone.std())
    if not float((beside - alone).abs().max()) <= rounding:
        return Together.ALONE
    return Together.ANY if float((padded - alone).abs().max()) <= rounding else Together.ONE_LENGTH


def _forced(model: PreTrainedModel) -> list[int]:
    return [(number * 11 + 5) % num_rows(model) for number in range(NUM_STEPS)]


def _run_own_loop(model: PreTrainedModel, prompts: list[list[int]]) -> Tensor:
    """[steps, prompts, vocab] logits after the prompts, then after each forced token."""
    rows = PromptRows(model, prompts, max(map(len, prompts)) + NUM_STEPS, None)
    start = rows.start()
    forced = [torch.full((len(prompts),), token, device=model.device) for token in _forced(model)[:-1]]
    return torch.stack([start, *map(rows.step, forced)])


class _Force(LogitsProcessor):
    def __init__(self, tokens: list[int], width: int) -> None:
        self.tokens = tokens
        self.width = width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token = self.tokens[input_ids.size(1) - self.width]
        forced = torch.full_like(scores, -torch.inf)
        forced[:, token] = 0.0
        return forced


def _run_generate(model: PreTrainedModel, prompts: list[list[int]]) -> Tensor:
    """The same by `model.generate`."""
    ids, mask = pad_left(prompts, 0, model.device)
    config = GenerationConfig(
        max_new_tokens=NUM_STEPS, do_sample=False, pad_token_id=0, output_logits=True, return_dict_in_generate=True
    )
    force = LogitsProcessorList([_Force(_forced(model), ids.size(1))])
    forget(model, len(prompts))
    own = model.generation_config
    model.generation_config = GenerationConfig()  # generate() would take from it what is not set
    try:
        output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=force)
    finally:
        model.generation_config = own
    return torch.stack(output.logits).float()
