"""ClassifierScorer with heads that read the last token: a batch must score as its texts do alone."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    XLNetConfig,
)

from phf.scorers.transformer.classifier import ClassifierScorer
from phf.scorers.transformer.sequence_classifier import longest_input

from .conftest import WORDS

END = WORDS.index("[SEP]")
SIZES = {"vocab_size": len(WORDS), "num_labels": 1, "initializer_range": 1.0}
GPT2 = GPT2Config(
    **SIZES, n_embd=16, n_layer=2, n_head=2, n_positions=16, bos_token_id=END, eos_token_id=END, pad_token_id=None
)
LLAMA = LlamaConfig(
    **SIZES, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=16, bos_token_id=None, eos_token_id=END, pad_token_id=None,
)  # fmt: skip
XLNET = XLNetConfig(**SIZES, d_model=16, n_layer=2, n_head=2, d_inner=32, pad_token_id=0)


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of a random model, and of a tokenizer of words that may end each text as the model does."""

    def folder(config, *, adds_end=False):
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
        words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        if adds_end:
            words.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", END)])
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", eos_token="[SEP]").save_pretrained(tmp_path)
        return str(tmp_path)

    return folder


@pytest.mark.parametrize("adds_end", [False, True])
@pytest.mark.parametrize("config", [GPT2, LLAMA, XLNET], ids=["gpt2", "llama", "xlnet"])
def test_the_last_token_is_read_whatever_it_is_and_whatever_stands_beside_it(folder, config, adds_end):
    path = folder(config, adds_end=adds_end)
    texts = {"a b c": [5, 6, 7], "a": [5], "a b [SEP]": [5, 6, END], "[SEP]": [END], "c b a c b": [7, 6, 5, 7, 6]}
    scores = ClassifierScorer(path, activation="none", device="cpu").score_texts(list(texts))
    model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    with torch.inference_mode():
        alone = [model(input_ids=torch.tensor([ids + [END] * adds_end])).logits.item() for ids in texts.values()]
    assert scores == pytest.approx(alone, abs=1e-5)


def test_text_without_a_token_is_unscored(folder):
    scorer = ClassifierScorer(folder(GPT2), activation="none", device="cpu")
    scores = scorer.score_texts([" ", "a", "\n"])
    assert [score is None for score in scores] == [True, False, True]
    assert scorer.unscored == {"score is not finite": 2}
    assert scorer.score_texts([" "]) == [None]


def test_a_model_that_takes_any_length_is_given_512_tokens(folder):
    scorer = ClassifierScorer(folder(XLNET), device="cpu")
    model, tokenizer, length = scorer._ready()
    assert longest_input(model, tokenizer) == length == 512
