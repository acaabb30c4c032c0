"""What the red-team tests share: a tiny target, a scorer that counts letters, red LMs that reply as instructed."""

from typing import Any

from tests.tiny import PLAIN, conditional_prompting, tiny_lm, tiny_tokenizer

from phf.config import Config, load_config
from phf.models import export_model
from phf.redteam.pool import PoolEntry
from phf.redteam.red_lm import Proposal, RedLM
from phf.scorers import Scorer


class LetterScorer(Scorer):
    """Share of "e" in the text; text with a "q" is unscored, and so is empty text."""

    segmenter = "lines"

    def score_texts(self, texts: list[str]) -> list[float | None]:
        return [None if "q" in text or not text else text.count("e") / len(text) for text in texts]


class UnscoringScorer(Scorer):
    def score_texts(self, texts: list[str]) -> list[float | None]:
        return [None] * len(texts)


class ScriptedRedLM(RedLM):
    """Says the next of `script` (a list of prompts, or one unreadable reply) each time it is asked, the last for ever."""

    def __init__(self, script: list[Any]) -> None:
        self.script = script
        self.asked: list[int] = []

    def propose(self, examples, pool, count, seed):
        self.asked.append(count)
        said = self.script[min(len(self.asked), len(self.script)) - 1]
        return Proposal([], [said]) if isinstance(said, str) else Proposal(list(said))


def attack_config(prompts: Any, **settings: Any) -> Config:
    """The quickstart's task with a tiny search on these prompts (a path) and `LetterScorer`."""
    config = load_config(task="pep8/quickstart")[0]
    small = {
        "prompts_path": str(prompts),
        "num_initial_prompts": 4,
        "num_trials": 2,
        "num_rounds": 2,
        "num_new_prompts": 3,
        "num_completions": 4,
        "num_rescored": 2,
        "scored_text": "continuation",
        "generate_kwargs": {"do_sample": True, "max_new_tokens": 6, "top_k": 0},
        "max_prompt_tokens": None,
        "red_lm": {"class_name": "MutationRedLM"},
    }
    assert config.redteam is not None
    redteam = type(config.redteam).model_validate({**config.redteam.model_dump(), **small, **settings})
    scorer = {"class_name": "tests.redteam.attack:LetterScorer"}
    generation = config.generation.model_copy(update={"scorer_config": scorer, "batch_size": 8})
    return config.model_copy(update={"redteam": redteam, "generation": generation})


def write_model(folder: Any, control_tokens: tuple[str, str] | None = None, seed: int = 0) -> Any:
    """A random model in the form that `phf train` exports."""
    tokenizer = tiny_tokenizer(control_tokens)
    prompting = PLAIN if control_tokens is None else conditional_prompting(*control_tokens)
    export_model(tiny_lm("gpt2", tokenizer, seed), tokenizer, folder, prompting)
    return folder


def entry(prompt: str, *scores: float | None, round_number: int = 0) -> PoolEntry:
    """An entry whose continuations are called c0, c1, ..."""
    return PoolEntry(prompt, 0, round_number, [f"c{i}" for i in range(len(scores))], list(scores), 0.0)
