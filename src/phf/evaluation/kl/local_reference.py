"""A reference LM in a local folder or from the Hub, run in this process."""

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from phf.config import KLConfig
from phf.errors import ConfigError
from phf.evaluation.kl.logprob import EndedRow, after_prefix, banned_ids, ended_logprobs
from phf.evaluation.kl.reference import ReferenceSample, shared_text
from phf.models import open_as_exported, pretrained_lm, pretrained_tokenizer, prompting_of
from phf.models.context import context_of
from phf.models.model_folder import model_hashes
from phf.models.vocabulary import end_ids
from phf.sampling.continuation import until_end
from phf.sampling.finite import finite_logits
from phf.sampling.generate import evaluation_mode
from phf.sampling.padding import Together, runs_together
from phf.sampling.static_cache import forget
from phf.tokens.document_start import prefix_ids
from phf.tokens.tokenizer import encode_plain, prepare_tokenizer
from phf.workers.activity import watched

KEY = "kl_gpt3_callback.reference.path_or_name"


class LocalReference:
    """Any Hugging Face causal LM.

    A document starts with what the tokenizer puts there itself, or EOS; in a folder that `phf` exported, like its
    training documents and, for a conditional model, with its best control token. Special tokens except ends are never drawn.
    """

    def __init__(self, path_or_name: str, revision: str | None) -> None:
        self.name = path_or_name
        self.revision = revision

    def key(self) -> dict[str, Any]:
        """The name, its revision and, for a folder, a hash of its files."""
        folder = Path(self.name)
        files = model_hashes(folder) if folder.is_dir() else None
        return {"path_or_name": self.name, "revision": self.revision, "files": files}

    @torch.inference_mode()
    def draw(self, section: KLConfig) -> list[ReferenceSample]:
        """Sample and score. Weights are in float32 on a CPU and as stored on a GPU; the random state is not changed."""
        settings = {} if self.revision is None else {"revision": self.revision}
        tokenizer = prepare_tokenizer(pretrained_tokenizer(self.name, KEY, **settings), None)
        start = reference_start(self.name, tokenizer)
        has_gpu = torch.cuda.is_available()
        device, dtype = ("cuda", "auto") if has_gpu else ("cpu", torch.float32)
        model: Any = pretrained_lm(self.name, KEY, device, dtype=dtype, **settings)
        check_context(model, len(start) + section.max_tokens)
        banned = banned_ids(tokenizer, model)
        ends = end_ids(model, tokenizer)
        drawn = _sample(model, start, ends, banned, section)
        texts = [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids, _ in drawn]
        shared = [shared_text(text, is_ended) for text, (_, is_ended) in zip(texts, drawn, strict=True)]
        encoded = [ids.tolist() for ids in encode_plain(tokenizer, shared)]
        cannot_spell = {tokenizer.unk_token_id} - {None, *ends}
        # text that was not drawn as it is spelled may need more tokens: in place of bytes that are not text, for example
        room = (context_of(model.config) or sys.maxsize) - len(start)
        spelled = [i for i, ids in enumerate(encoded) if len(ids) <= room and not cannot_spell & {*ids}]
        rows = [EndedRow(after_prefix(start, ids), is_ended) for ids, is_ended in drawn]
        rows += [EndedRow(after_prefix(start, encoded[i]), drawn[i][1]) for i in spelled]
        logprobs = ended_logprobs(model, rows, ends=ends, banned_ids=banned, batch_size=section.batch_size)
        text_logprobs = dict(zip(spelled, logprobs[len(drawn) :], strict=True))
        return [
            ReferenceSample(
                text=text,
                is_ended=is_ended,
                ids=ids,
                logprobs=logprobs[i].tolist(),
                text_logprob=float(text_logprobs[i].sum()) if i in text_logprobs else None,
            )
            for i, (text, (ids, is_ended)) in enumerate(zip(texts, drawn, strict=True))
        ]


def reference_start(name: str, tokenizer: Any) -> list[int]:
    """Ids that the model expects before a document; `tokenizer` is changed to begin documents with them."""
    open_as_exported(tokenizer, name)
    return prefix_ids(tokenizer, prompting_of(Path(name), tokenizer).prefix)


def check_context(model: Any, num_tokens: int) -> None:
    """Raises `ConfigError` if a sample does not fit the reference's context."""
    context = context_of(model.config)
    if context is not None and num_tokens > context:
        raise ConfigError(
            f"kl_gpt3_callback.max_tokens: samples of up to {num_tokens} tokens, start included, do not fit the "
            f"reference's context of {context}. Lower it."
        )


def _sample(
    model: Any, start: list[int], ends: list[int], banned: list[int], section: KLConfig
) -> list[tuple[list[int], bool]]:
    """Ids of each sample without its end, and whether an end was drawn."""
    model.generation_config = GenerationConfig()  # generate() would take from it what is not set below
    config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=section.max_tokens,
        eos_token_id=ends,
        pad_token_id=ends[0],
        suppress_tokens=banned or None,
    )
    samples = []
    devices = [model.device.index or 0] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), evaluation_mode(model), finite_logits(model):
        torch.manual_seed(section.seed)
        is_mixed = section.batch_size > 1 and runs_together(model, in_own_loop=False) is Together.ALONE
        at_once = 1 if is_mixed else section.batch_size
        begins = range(0, section.num_samples, at_once)
        parts = [range(begin, min(begin + at_once, section.num_samples)) for begin in begins]
        for part in watched(parts, "sampling the reference", section.num_samples):
            size = len(part)
            ids = torch.tensor([start] * size, device=model.device)
            forget(model, size)
            output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
            for line in output[:, len(start) :].tolist():
                text_ids = until_end(line, ends)
                samples.append((text_ids, len(text_ids) < len(line)))
    return samples
