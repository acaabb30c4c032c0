"""What stands in front of a text that a model is shown."""

from itertools import takewhile
from typing import Any


def own_prefix(tokenizer: Any) -> list[int]:
    """Ids that the tokenizer itself puts in front of a text: those of an exported model EOS and, for a conditional one,
    the aligned token; of others a BOS or nothing."""
    encoding = tokenizer("a", return_special_tokens_mask=True)
    pairs = zip(encoding["input_ids"], encoding["special_tokens_mask"], strict=True)
    return [token for token, _ in takewhile(lambda pair: pair[1], pairs)]
