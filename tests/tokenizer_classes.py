"""One small tokenizer of each class that people load with causal LMs, trained here on a few lines: no network."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "The cat sat on the mat and then it ran far away from home.",
    "A kind sentence. Another one follows. Old friends live by the sea.",
    "def size(path):\n    return os.stat(path).st_size\n\n\nx = 1\n",
    "who is it? the cat, the old cat by the sea",
]
BYTES = [f"<0x{i:02X}>" for i in range(256)]


def byte_level(special: list[str], size: int = 330, prefix_space: bool = False) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    backend.decoder = decoders.ByteLevel()
    return _trained(backend, trainers.BpeTrainer, special, size, sorted(pre_tokenizers.ByteLevel.alphabet()))


def sentencepiece_bpe(special: list[str], size: int = 360) -> Tokenizer:
    backend = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    return _trained(backend, trainers.BpeTrainer, special + BYTES, size)


def _trained(backend: Tokenizer, trainer: Any, special: list[str], size: int, alphabet: list[str] | None = None) -> Any:
    settings = {"vocab_size": size, "special_tokens": special, "show_progress": False}
    backend.train_from_iterator(
        CORPUS * 3, trainer(**settings, **({} if alphabet is None else {"initial_alphabet": alphabet}))
    )
    return backend


@cache
def _bpe_parts(kind: str, special: tuple[str, ...]) -> dict[str, Any]:
    build = byte_level if kind == "bytes" else sentencepiece_bpe
    model = json.loads(build(list(special)).to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


@cache
def _unigram(special: tuple[str, ...]) -> list[tuple[str, float]]:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    settings = {"vocab_size": 90, "special_tokens": list(special), "unk_token": "<unk>", "show_progress": False}
    backend.train_from_iterator(CORPUS * 3, trainers.UnigramTrainer(**settings))
    return [tuple(piece) for piece in json.loads(backend.to_str())["model"]["vocab"]]


def gpt2(**settings: Any) -> Any:
    return transformers.GPT2Tokenizer(**_bpe_parts("bytes", ("<|endoftext|>",)), **settings)


def gpt_neox(**settings: Any) -> Any:
    return transformers.GPTNeoXTokenizer(**_bpe_parts("bytes", ("<|endoftext|>", "<|padding|>")), **settings)


def qwen2() -> Any:
    return transformers.Qwen2Tokenizer(**_bpe_parts("bytes", ("<|endoftext|>",)))


def codegen() -> Any:
    return transformers.CodeGenTokenizer(**_bpe_parts("bytes", ("<|endoftext|>",)))


def cohere() -> Any:
    special = ("<PAD>", "<UNK>", "<CLS>", "<SEP>", "<MASK_TOKEN>", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>")
    return transformers.CohereTokenizer(**_bpe_parts("bytes", special), add_bos_token=True)


def roberta() -> Any:
    return transformers.RobertaTokenizer(**_bpe_parts("bytes", ("<s>", "<pad>", "</s>", "<unk>", "<mask>")))


def whisper() -> Any:
    return transformers.WhisperTokenizer(**_bpe_parts("bytes", ("<|endoftext|>", "<|startoftranscript|>")))


def llama(**settings: Any) -> Any:
    parts = _bpe_parts("pieces", ("<unk>", "<s>", "</s>"))
    return transformers.LlamaTokenizer(**parts, **{"add_bos_token": True, **settings})


def code_llama() -> Any:
    return transformers.CodeLlamaTokenizer(**_bpe_parts("pieces", ("<unk>", "<s>", "</s>")), add_bos_token=True)


def gemma() -> Any:
    return transformers.GemmaTokenizer(**_bpe_parts("pieces", ("<pad>", "<eos>", "<bos>", "<unk>")), add_bos_token=True)


def old_llama() -> Any:
    """As files before `Metaspace` spelled it: the space comes from a normalizer."""
    special = ("<unk>", "<s>", "</s>")
    backend = Tokenizer(
        models.BPE(**_bpe_parts("pieces", special), byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    )
    backend.add_special_tokens(list(special))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def llama3() -> Any:
    backend = byte_level(["<|begin|>", "<|end|>"])
    backend.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|begin|>", eos_token="<|end|>")


def bloom() -> Any:
    """Has a BOS and does not add it."""
    backend = byte_level(["<unk>", "<s>", "</s>", "<pad>"])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def xglm() -> Any:
    return transformers.XGLMTokenizer(vocab=_unigram(("<s>", "<pad>", "</s>", "<unk>")))


def t5() -> Any:
    return transformers.T5Tokenizer(vocab=_unigram(("<pad>", "</s>", "<unk>")), extra_ids=0)


def bert() -> Any:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    _trained(backend, trainers.WordPieceTrainer, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], 200)
    ids = {token: backend.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    backend.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="[SEP]", unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]"
    )


def words() -> Any:
    backend = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    _trained(backend, trainers.WordLevelTrainer, ["[UNK]", "[EOS]"], 200)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", eos_token="[EOS]")


CLASSES: dict[str, Callable[[], Any]] = {
    "GPT2Tokenizer": gpt2,
    "GPT2Tokenizer, add_prefix_space": lambda: gpt2(add_prefix_space=True),
    "GPTNeoXTokenizer": gpt_neox,
    "GPTNeoXTokenizer, add_bos_token": lambda: gpt_neox(add_bos_token=True),
    "CodeGenTokenizer": codegen,
    "Qwen2Tokenizer": qwen2,
    "CohereTokenizer": cohere,
    "RobertaTokenizer": roberta,
    "WhisperTokenizer": whisper,
    "LlamaTokenizer": llama,
    "LlamaTokenizer, legacy": lambda: llama(legacy=True),
    "LlamaTokenizer, add_prefix_space: false": lambda: llama(add_prefix_space=False),
    "CodeLlamaTokenizer": code_llama,
    "GemmaTokenizer": gemma,
    "PreTrainedTokenizerFast, old Llama file": old_llama,
    "PreTrainedTokenizerFast, Llama 3": llama3,
    "PreTrainedTokenizerFast, BLOOM": bloom,
    "XGLMTokenizer": xglm,
    "T5Tokenizer": t5,
    "PreTrainedTokenizerFast, BERT": bert,
    "PreTrainedTokenizerFast, whole words": words,
}
"""Name -> a function that makes a new one."""
LOSSY = ("XGLMTokenizer", "T5Tokenizer", "PreTrainedTokenizerFast, BERT", "PreTrainedTokenizerFast, whole words")
"""Those that do not give every text back."""
