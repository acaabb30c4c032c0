"""Which ids of a model end a text, and which have no token."""

from typing import Any

from phf.models.context import text_config


def end_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokenizer's EOS first, then the other ids that end a text: those that the model's configurations name.

    Many chat models list several. A single id that is an ordinary token of the tokenizer is a default that nobody set
    for this model, such as the 2 of `LlamaConfig`, and does not count.
    """
    eos = tokenizer.eos_token_id
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    known = set(tokenizer.get_vocab().values())
    configs = [getattr(model, "generation_config", None), model.config, text_config(model.config)]
    ends = []
    for config in configs:
        ids = getattr(config, "eos_token_id", None)
        if isinstance(ids, (list, tuple)):
            ends += [i for i in ids if i in known]
        elif ids in special:
            ends.append(ids)
    return [*([] if eos is None else [eos]), *sorted({*ends} - {eos})]


def ids_without_token(model: Any, tokenizer: Any) -> list[int]:
    """Rows of the model's vocabulary without a token in the tokenizer, sorted: padding, and gaps."""
    return sorted(set(range(num_rows(model))) - set(tokenizer.get_vocab().values()))


def num_rows(model: Any) -> int:
    """Size of the vocabulary for which the model has logits."""
    weight = getattr(model.get_output_embeddings(), "weight", None)
    return text_config(model.config).vocab_size if weight is None else weight.size(0)
