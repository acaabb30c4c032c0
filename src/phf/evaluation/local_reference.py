"""A reference LM in a local folder or from the Hub, run in this process."""

from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from phf.config import KLConfig
from phf.data.tokenizer import encode_plain, prepare_tokenizer
from phf.errors import ConfigError
from phf.evaluation.finite import finite_logits
from phf.evaluation.generate import evaluation_mode
from phf.evaluation.logprob import after_prefix, banned_ids, sequence_logprobs
from phf.evaluation.model_folder import model_hashes
from phf.evaluation.reference import ReferenceSample, shared_text
from phf.models import pretrained_lm, pretrained_tokenizer, read_prompting

KEY = "kl_gpt3_callback.reference.path_or_name"


class LocalReference:
    """Any Hugging Face causal LM.

    A document starts with BOS, or EOS where the tokenizer has none; in a folder that `phf` exported, with EOS and, for
    a conditional model, its aligned token. Special tokens other than EOS are never drawn.
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
        """Sample and score. Weights are in float32 on a CPU and as stored on a GPU; the random state is untouched."""
        settings = {} if self.revision is None else {"revision": self.revision}
        tokenizer = prepare_tokenizer(pretrained_tokenizer(self.name, KEY, **settings), None)
        has_gpu = torch.cuda.is_available()
        device, dtype = ("cuda", "auto") if has_gpu else ("cpu", torch.float32)
        model: Any = pretrained_lm(self.name, KEY, device, dtype=dtype, **settings)
        start = document_start(self.name, tokenizer)
        check_context(model, len(start) + section.max_tokens)
        banned = banned_ids(tokenizer, model)
        drawn = _sample(model, tokenizer, start, banned, section)
        texts = [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids, _ in drawn]
        end = [tokenizer.eos_token_id]
        as_drawn = [ids + end * is_ended for ids, is_ended in drawn]
        shared = [shared_text(text, is_ended) for text, (_, is_ended) in zip(texts, drawn, strict=True)]
        encoded = encode_plain(tokenizer, shared)
        as_encoded = [ids.tolist() + end * is_ended for ids, (_, is_ended) in zip(encoded, drawn, strict=True)]
        rows = [after_prefix(start, ids) for ids in (*as_drawn, *as_encoded)]
        found = sequence_logprobs(model, rows, banned_ids=banned, batch_size=section.batch_size)
        cannot_spell = {tokenizer.unk_token_id} - {None, tokenizer.eos_token_id}
        return [
            ReferenceSample(
                text=text,
                is_ended=is_ended,
                ids=ids,
                logprobs=found[i].tolist(),
                text_logprob=None if cannot_spell & {*as_encoded[i]} else float(found[len(drawn) + i].sum()),
            )
            for i, (text, (ids, is_ended)) in enumerate(zip(texts, drawn, strict=True))
        ]


def document_start(name: str, tokenizer: Any) -> list[int]:
    """Ids that the model expects in front of a document."""
    if (Path(name) / "phf.json").is_file():
        tokens = [tokenizer.eos_token, *(read_prompting(Path(name))["control_tokens"] or [])[:1]]
        return tokenizer.convert_tokens_to_ids(tokens)
    return [tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id]


def check_context(model: Any, num_tokens: int) -> None:
    """Raises `ConfigError` where the reference cannot hold a sample."""
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and num_tokens > context:
        raise ConfigError(
            f"kl_gpt3_callback.max_tokens: samples of up to {num_tokens} tokens, start included, do not fit the "
            f"reference's context of {context}. Lower it."
        )


def _sample(
    model: Any, tokenizer: Any, start: list[int], banned: list[int], section: KLConfig
) -> list[tuple[list[int], bool]]:
    """Ids of each sample without EOS, and whether EOS was drawn."""
    eos = tokenizer.eos_token_id
    model.generation_config = GenerationConfig()  # generate() would fill in from it what is left open below
    config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=section.max_tokens,
        eos_token_id=eos,
        pad_token_id=eos,
        suppress_tokens=banned or None,
    )
    found = []
    devices = [model.device.index or 0] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), evaluation_mode(model), finite_logits(model):
        torch.manual_seed(section.seed)
        for begin in range(0, section.num_samples, section.batch_size):
            size = min(section.batch_size, section.num_samples - begin)
            ids = torch.tensor([start] * size, device=model.device)
            output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
            for line in output[:, len(start) :].tolist():
                is_ended = eos in line
                found.append((line[: line.index(eos)] if is_ended else line, is_ended))
    return found
