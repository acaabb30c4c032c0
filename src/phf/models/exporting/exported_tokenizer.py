"""The tokenizer of an export: written, read back with plain transformers, and compared with the original."""

import copy
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from phf.errors import ConfigError, OutputError
from phf.feedback import Prompting
from phf.models.exporting.chat_template import rendered, with_prefix
from phf.storage.files import write_json_atomic
from phf.storage.reading import read_json_as
from phf.tokens.document_start import document_start, open_documents_with, prefix_ids

PROBES = (
    "",
    "a",
    "The cat sat on the mat.",
    " leading space",
    "two  spaces\tand a tab ",
    "def f(x):\n    return x + 12345\n\n\n",
    "it's the naïve café's 1,000.50 € — 日本語 \U0001f600",
    "line\r\nend",
)
"""Texts that the tokenizer must encode to the same tokens after it is read back."""
OF_LOADING = ("is_local", "local_files_only")
"""What transformers adds to the settings of a tokenizer that it reads, and would save with it: a run that was resumed, whose
tokenizer is read from its folder, would give other files than one that trained its tokenizer and went through."""
GENERIC_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Tokenizer classes that use tokenizer.json unchanged; others build their own tokenizer from its vocabulary."""
OWN_CLASS = {"AutoTokenizer": [None, "tokenizer_class.PreTrainedTokenizerFast"]}
"""Keeps transformers from using the class that it has registered for an architecture (Qwen2, for example) instead."""
OWN_CLASS_FILE = """import transformers


class PreTrainedTokenizerFast(transformers.PreTrainedTokenizerFast):
    pass
"""
"""tokenizer_class.py, which `OWN_CLASS` names: it runs only if a user trusts the folder's code, and changes nothing."""


def save_tokenizer(tokenizer: Any, prompting: Prompting, folder: Path) -> None:
    """Write `tokenizer` into `folder`, which holds the model's config.json, so that it starts every text from the prefix.

    The prefix is the document start and the control tokens that `prompting` starts with, if any. Raises `OutputError` if no
    form of the tokenizer does so when plain transformers reads it.
    """
    prefix = prefix_ids(tokenizer, prompting.prefix)
    exported = _with_prefix(tokenizer, prefix, prompting.prefix or "")
    problem = None
    for settings in _forms():
        exported.save_pretrained(folder)
        if settings:
            path = folder / "tokenizer_config.json"
            write_json_atomic(path, {**read_json_as(dict[str, Any], path, OutputError), **settings})
        if "auto_map" in settings:
            (folder / "tokenizer_class.py").write_text(OWN_CLASS_FILE, encoding="utf-8")
        problem_now = _problem(folder, exported, tokenizer, prefix)
        if problem_now is None:
            return
        problem = problem or problem_now
    raise OutputError(
        f"The exported tokenizer ({type(tokenizer).__name__}), read by transformers, differs from the one that the model "
        f"is trained with: {problem}. Choose another tokenizer, such as one trained on the corpus "
        "(tokenizer.train_from_corpus), or another architecture."
    )


def check_exportable(tokenizer: Any, prompting: Prompting, lm_config: Any) -> None:
    """Raises `ConfigError` if `save_tokenizer` would fail for a model of this configuration, before it is trained."""
    with tempfile.TemporaryDirectory() as scratch:
        lm_config.save_pretrained(scratch)
        try:
            save_tokenizer(tokenizer, prompting, Path(scratch))
        except OutputError as error:
            raise ConfigError(f"The trained model could not be exported. {error}") from error


def _forms() -> Iterator[dict[str, Any]]:
    """Changes to tokenizer_config.json, the smallest first."""
    yield {}
    for name in GENERIC_CLASSES:
        yield {"tokenizer_class": name}
    yield {"tokenizer_class": GENERIC_CLASSES[-1], "auto_map": OWN_CLASS}


def _with_prefix(tokenizer: Any, prefix: list[int], control_token: str) -> Any:
    """A copy of the tokenizer that starts every text, and every conversation, with the prefix."""
    start = "".join(tokenizer.convert_ids_to_tokens(document_start(tokenizer)))
    exported = copy.deepcopy(tokenizer)
    for key in OF_LOADING:
        exported.init_kwargs.pop(key, None)
    open_documents_with(exported, prefix)
    with_prefix(exported, start, control_token)
    return exported


def _problem(folder: Path, exported: Any, tokenizer: Any, prefix: list[int]) -> str | None:
    """What plain transformers gets wrong about the tokenizer in `folder`; None if nothing."""
    try:
        loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        return f"it cannot be read ({type(error).__name__}: {error})"
    if loaded.get_vocab() != exported.get_vocab():
        return "its vocabulary is different"
    for key in ("eos_token_id", "pad_token_id", "bos_token_id", "unk_token_id"):
        if getattr(loaded, key) != getattr(exported, key):
            return f"its {key} is {getattr(loaded, key)}, not {getattr(exported, key)}"
    special = [
        {i for i, token in either.added_tokens_decoder.items() if token.special} for either in (loaded, tokenizer)
    ]
    if special[0] != special[1]:
        return "its special tokens are different"
    for text in PROBES:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        if loaded(text, add_special_tokens=False).input_ids != ids:
            return f"it encodes {text!r} differently"
        if loaded(text).input_ids != prefix + ids:
            start = loaded.convert_ids_to_tokens(loaded(text).input_ids[: len(prefix)])
            return f"it starts {text!r} with {start}, not with {loaded.convert_ids_to_tokens(prefix)}"
        if loaded.decode(ids) != tokenizer.decode(ids):
            return f"it decodes {text!r} differently"
    return _chat_problem(loaded, exported, prefix)


def _chat_problem(loaded: Any, exported: Any, prefix: list[int]) -> str | None:
    if loaded.chat_template != exported.chat_template:
        return "its chat template is different"
    if loaded.chat_template is None or importlib.util.find_spec("jinja2") is None:
        return None
    templates = loaded.chat_template.values() if isinstance(loaded.chat_template, dict) else [loaded.chat_template]
    for template in templates:
        for text in rendered(loaded, template):
            ids = loaded(text, add_special_tokens=False).input_ids
            if ids[: len(prefix)] != prefix:
                return f"a conversation starts with {loaded.convert_ids_to_tokens(ids[: len(prefix)])}"
    return None
