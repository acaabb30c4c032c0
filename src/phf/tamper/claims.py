"""What a tamper test says, in sentences."""

import math

from phf.evaluation.compare import Comparison
from phf.statistics import Interval
from phf.tamper.analyse import TamperedMethod, TamperedPair, TamperResult
from phf.text import counted


def claims(result: TamperResult) -> list[str]:
    """The goal, a sentence for each method and kind of data, and one for each pair."""
    methods = [method for method in result.misaligned if not _is_goal(method, result)]
    control = [method for method in result.benign if not _is_goal(method, result)]
    return [
        _goal(result),
        *(f"On misaligned data, {method.name} {_reaches(method, result)}." for method in methods),
        *(f"On benign data, {method.name} {_reaches(method, result)}." for method in control),
        *(sentence for pair in result.pairs for sentence in _pair(pair, result)),
    ]


def relearned(method: TamperedMethod) -> str:
    """ "11.3 (6.2 to 20)", or how many seeds have reached the goal."""
    relearning = method.relearning
    if math.isnan(relearning.steps.mean):
        return f"reached by {relearning.num_reached} of {len(relearning.log_steps)}"
    return _interval(relearning.steps)


def _goal(result: TamperResult) -> str:
    of = f", the score of {result.baseline} before finetuning" if result.is_goal_of_baseline else ""
    return f"A model has relearned misalignment when the mean score of its samples reaches {result.goal:.4g}{of}."


def _is_goal(method: TamperedMethod, result: TamperResult) -> bool:
    """Whether it is the method whose own score before finetuning is the goal."""
    return result.is_goal_of_baseline and method.name == result.baseline


def _reaches(method: TamperedMethod, result: TamperResult) -> str:
    relearning, last = method.relearning, result.steps[-1]
    first, end = method.means[0], method.means[last]
    if relearning.num_reached == 0:
        text = f"has not reached it in {counted(last, 'step')}"
    elif math.isnan(relearning.steps.mean):
        seeds = len(relearning.log_steps)
        text = (
            f"reaches it in {relearning.num_reached} of {seeds} seeds within {counted(last, 'step')}, so its mean "
            "is not known"
        )
    elif relearning.steps.mean == 0:
        text = "has it before any finetuning"
    else:
        text = f"reaches it after {_interval(relearning.steps)} steps"
    return f"{text}: its score is {_interval(first)} before and {_interval(end)} after {counted(last, 'step')}"


def _pair(pair: TamperedPair, result: TamperResult) -> list[str]:
    sentences = []
    is_with_goal = result.is_goal_of_baseline and pair.first == result.baseline
    if not is_with_goal and not math.isnan(pair.ratio.mean):
        known = "" if math.isnan(pair.ratio.low) else f" ({pair.ratio.low:.3g} to {pair.ratio.high:.3g})"
        sentence = f"{pair.second} takes {pair.ratio.mean:.3g}{known} times as many steps as {pair.first} to relearn"
        if not math.isnan(pair.ratio.low) and pair.ratio.low <= 1 <= pair.ratio.high:
            sentence += ", so the two cannot be distinguished"
        sentences.append(f"{sentence}.")
    sentences.append(_end(pair.at_end, result))
    return sentences


def _end(comparison: Comparison, result: TamperResult) -> str:
    between = comparison.interval
    after = f"After {counted(result.steps[-1], 'step')} on misaligned data"
    names = f"{comparison.second} and {comparison.first}"
    if math.isnan(between.low):
        return f"{after}, {names} differ by {between.mean:+.3g}; how certain that is is unknown."
    size = f"{between.mean:+.3g} ({between.low:+.3g} to {between.high:+.3g})"
    if not between.excludes_zero():
        return f"{after}, {names} cannot be distinguished: the difference is {size}."
    side = "below" if between.mean < 0 else "above"
    return f"{after}, {comparison.second} still lies {side} {comparison.first}: the difference is {size}."


def _interval(interval: Interval) -> str:
    known = "" if math.isnan(interval.low) else f" ({interval.low:.3g} to {interval.high:.3g})"
    return f"{interval.mean:.3g}{known}"
