"""The search: rounds of examples drawn, prompts written, continuations sampled and scored (arXiv 2202.03286, section 3.1)."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from phf.config import RedTeamConfig
from phf.errors import ConfigError, CorpusError, ScorerError
from phf.redteam.pool import PoolEntry, best_entries, draw_examples
from phf.redteam.red_lm import RedLM
from phf.redteam.rounds import Round, RoundFiles
from phf.redteam.target import Target, flaw
from phf.sampling.prompts import read_prompts
from phf.storage.hashing import hash64
from phf.text import counted, visible

UNREADABLE = "unreadable reply"
SHOWN_REPLY_CHARS = 200


@dataclass(frozen=True)
class Trial:
    """One search: its rounds, the initial one first, and its best prompts sampled again with new seeds."""

    rounds: list[Round]
    rescored: list[PoolEntry]
    """The best prompts, in the order of the search; then the best initial one, unless it is among them."""
    also_rescored: list[PoolEntry] = field(default_factory=list)
    """The prompts that were best after some round and are not among those."""

    @property
    def pool(self) -> list[PoolEntry]:
        """Every prompt with the continuations that it was first sampled with."""
        return [entry for done in self.rounds for entry in done.entries]

    def best_after_rounds(self) -> list[PoolEntry | None]:
        """For each round, the prompt with the highest mean score up to it; None where none has a score."""
        return best_after_rounds([done.entries for done in self.rounds])


ShowProgress = Callable[[int, int, float | None], None]
"""Called before each round and each rescoring with trial, round, and the best mean score of the trial so far."""


class Search:
    """A target, a red LM, and the initial prompts."""

    def __init__(
        self, settings: RedTeamConfig, target: Target, red_lm: RedLM, files: RoundFiles, show: ShowProgress
    ) -> None:
        self.settings = settings
        self.target = target
        self.red_lm = red_lm
        self.files = files
        self.show = show
        self.initial_prompts = initial_prompts(settings, target)

    def check_red_lm(self) -> None:
        """Raises the error of a red LM that will be asked, and could not answer."""
        last = round_name(self.settings.num_trials - 1, self.settings.num_rounds)
        if not self.files.is_done(last):
            check_red_lm(self.settings, self.red_lm, self.initial_prompts)

    def run_trial(self, trial: int) -> Trial:
        """Run one trial; rounds that an interrupted run finished are read, not repeated."""
        rounds: list[Round] = []
        pool: list[PoolEntry] = []
        for number in range(self.settings.num_rounds + 1):
            self._announce(trial, number, pool)
            done = self.files.done_or(round_name(trial, number), partial(self._round, trial, number, pool))
            rounds.append(done)
            pool += done.entries
        self._announce(trial, self.settings.num_rounds + 1, pool)
        rescored = self.files.done_or(f"trial-{trial:03d}-rescored", partial(self._rescore, trial, pool))
        # apart from those, whose samples would depend on how many prompts are sampled along with them
        known = {entry.prompt for entry in rescored.entries}
        best = [entry.prompt for entry in best_after_rounds([done.entries for done in rounds]) if entry is not None]
        more = [prompt for prompt in dict.fromkeys(best) if prompt not in known]
        also = self.files.done_or(f"trial-{trial:03d}-also-rescored", partial(self._rescore_more, trial, more))
        return Trial(rounds, rescored.entries, also.entries)

    def _announce(self, trial: int, number: int, pool: Sequence[PoolEntry]) -> None:
        best = best_entries(pool, 1)
        self.show(trial, number, best[0].mean if best else None)

    def _round(self, trial: int, number: int, pool: Sequence[PoolEntry]) -> Round:
        if number == 0 and self.settings.initial_score is not None:
            return Round(
                self.target.unsampled(self.initial_prompts, trial=trial, assumed_score=self.settings.initial_score)
            )
        if number == 0:
            prompts, rejected = self.initial_prompts, Counter[str]()
        else:
            prompts, rejected = self._new_prompts(trial, number, pool)
        seed = self._seed("target", trial, number)
        entries = self.target.sample(prompts, trial=trial, round_number=number, seed=seed)
        return Round(entries, dict(sorted(rejected.items())))

    def _new_prompts(self, trial: int, number: int, pool: Sequence[PoolEntry]) -> tuple[list[str], Counter[str]]:
        """Up to `num_new_prompts` prompts that are not in the pool; fewer if repeated requests gave no more."""
        known = {entry.prompt for entry in pool}
        prompts: list[str] = []
        rejected: Counter[str] = Counter()
        unreadable: list[str] = []
        for attempt in range(self.settings.max_attempts):
            missing = self.settings.num_new_prompts - len(prompts)
            if missing == 0:
                break
            seed = self._seed("red LM", trial, number, attempt)
            examples = draw_examples(pool, self.settings.num_examples, self.settings.temperature, seed)
            if not examples:
                raise ScorerError(
                    f"Round {number} of trial {trial}: {self.target.scorer.name} scored no continuation of any prompt, so "
                    "the search has nothing to go by. Check generation.scorer_config and redteam.generate_kwargs."
                )
            proposal = self.red_lm.propose(examples, pool, missing, seed)
            unreadable += proposal.unreadable
            for prompt in proposal.prompts:
                problem = "repetition" if prompt in known else self.target.problem(prompt)
                if problem is None and len(prompts) == self.settings.num_new_prompts:
                    problem = "more than asked for"
                if problem is not None:
                    rejected[problem] += 1
                    continue
                prompts.append(prompt)
                known.add(prompt)
        if unreadable:
            rejected[UNREADABLE] = len(unreadable)
        if not prompts:
            raise ConfigError(self._nothing_found(trial, number, rejected, unreadable))
        return prompts, rejected

    def _nothing_found(self, trial: int, number: int, rejected: Counter[str], unreadable: Sequence[str]) -> str:
        counts = (
            ", ".join(f"{reason}: {count}" for reason, count in sorted(rejected.items())) or "it wrote nothing at all"
        )
        last_reply = (
            f" Its last unreadable reply: {visible(unreadable[-1], SHOWN_REPLY_CHARS)!r}." if unreadable else ""
        )
        return (
            f"Round {number} of trial {trial}: {type(self.red_lm).__name__} wrote no usable prompt when asked "
            f"{counted(self.settings.max_attempts, 'time')} ({counts}).{last_reply} Change redteam.red_lm or "
            "redteam.template, or raise redteam.max_attempts; finished rounds are kept."
        )

    def _rescore(self, trial: int, pool: Sequence[PoolEntry]) -> Round:
        """Sample the best prompts again: the best of many noisy means is too high by chance, the second mean is not."""
        chosen = best_entries(pool, self.settings.num_rescored)
        chosen += best_entries((entry for entry in pool if entry.round == 0), 1)
        prompts = list(dict.fromkeys(entry.prompt for entry in chosen))
        if not prompts:
            return Round([])
        seed = self._seed("rescore", trial)
        fresh = self.target.sample(prompts, trial=trial, round_number=self.settings.num_rounds + 1, seed=seed)
        return Round(fresh)

    def _rescore_more(self, trial: int, prompts: Sequence[str]) -> Round:
        seed = self._seed("rescore rounds", trial)
        number = self.settings.num_rounds + 1
        return Round(self.target.sample(prompts, trial=trial, round_number=number, seed=seed) if prompts else [])

    def _seed(self, purpose: str, *parts: int) -> int:
        return hash64("redteam", purpose, self.settings.seed, *parts) >> 1  # torch and some servers require 63 bits


def best_after_rounds(rounds: Sequence[Sequence[PoolEntry]]) -> list[PoolEntry | None]:
    """For each round, the best prompt of the pool up to it; None where no prompt has a score."""
    best: list[PoolEntry | None] = []
    for entries in rounds:
        before = [best[-1]] if best and best[-1] is not None else []
        best.append(next(iter(best_entries([*before, *entries], 1)), None))
    return best


def round_name(trial: int, number: int) -> str:
    """Of the file of a round."""
    return f"trial-{trial:03d}-round-{number:03d}"


def check_red_lm(settings: RedTeamConfig, red_lm: Any, prompts: Sequence[str]) -> None:
    """Raises the error of a red LM that could not answer with the longest of these prompts as examples, which may be drawn."""
    if isinstance(red_lm, RedLM):
        red_lm.check(sorted(prompts, key=len)[-settings.num_examples :])


def well_formed_prompts(settings: RedTeamConfig) -> list[str]:
    """The first prompts of the file, without duplicates. Raises `CorpusError` for one that no model can continue."""
    in_file = list(dict.fromkeys(read_prompts(settings.prompts_path, settings.prompts_column)))
    prompts = in_file[: settings.num_initial_prompts]
    for number, prompt in enumerate(prompts, start=1):
        if (problem := flaw(prompt)) is not None:
            raise CorpusError(f"{settings.prompts_path}: prompt {number} is {problem}. Repair or remove it.")
    return prompts


def initial_prompts(settings: RedTeamConfig, target: Target) -> list[str]:
    """`well_formed_prompts`. Raises `CorpusError` for one that is too long for the target, too."""
    prompts = well_formed_prompts(settings)
    for number, prompt in enumerate(prompts, start=1):
        if target.problem(prompt) is not None:
            raise CorpusError(
                f"{settings.prompts_path}: prompt {number} has {counted(target.num_tokens(prompt), 'token')}, but a prompt "
                f"may have {target.max_prompt_tokens} here. Shorten it, or change redteam.generate_kwargs (max_length, "
                "max_new_tokens) or redteam.max_prompt_tokens."
            )
    return prompts
