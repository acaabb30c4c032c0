"""A model that was trained and then evaluated is one model on the page: what `phf evaluate` measured replaces what was measured
when its training ended."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from phf.config import saved_config
from phf.config.meaning import meaning_of
from phf.errors import ConfigError
from phf.feedback import Prompting, control_tokens_of, with_prompting
from phf.report.origins import Origins
from phf.runs.layout import CONFIG, MODEL
from phf.runs.reader import Run
from phf.runs.seeds import Training

COUNTS = ("num_samples", "num_hits_threshold", "scorers")
"""Settings of a scenario that change how much is known of a model, not what is measured."""
OF_MEASURING = ("threshold", "more_scorers", "seeds")
"""Of the provenance of an evaluation: what its numbers were measured with."""
OF_EVALUATION = ("started", "phf_version", "versions", "hardware", "command")
EVALUATED_IN = "evaluated_in"


def with_evaluations(runs: Sequence[Run], origins: Sequence[Origins]) -> tuple[list[Run], list[Origins]]:
    """The runs, with evaluations of their models taken into them, and the origins of the samples of each.

    An evaluation whose settings mean something else, whose numbers cannot be used, or whose samples would replace some whose
    origins are known, stays beside the run, under a name that says whose model it is of. Of several that are alike the
    newest counts.
    """
    whole, traced, taken = list(runs), list(origins), set[int]()
    evaluations = [number for number, run in enumerate(runs) if "model" in run.provenance]
    for number in sorted(evaluations, key=lambda number: str(runs[number].provenance.get("started"))):
        evaluation = runs[number]
        own = next((other for other, run in enumerate(runs) if _is_of(evaluation, run)), None)
        if own is None:
            continue
        loses_origins = bool(evaluation.samples and origins[own] and not origins[number])
        if _is_alike(evaluation, runs[own]) and not loses_origins:
            whole[own] = _taken_in(whole[own], evaluation)
            traced[own] = origins[number] or traced[own]
            taken.add(number)
        else:
            method = f"{runs[own].name} (measured in {evaluation.name})"
            whole[number] = replace(evaluation, provenance={**evaluation.provenance, "method": method})
    kept = [number for number in range(len(runs)) if number not in taken]
    return [whole[number] for number in kept], [traced[number] for number in kept]


def evaluated_in(run: Run) -> list[str]:
    """The names of the evaluations that were taken into a run, the newest last."""
    return list(run.provenance.get(EVALUATED_IN) or [])


def _is_of(evaluation: Run, run: Run) -> bool:
    """Whether an evaluation is of the model that a run exported: by the name of its folder, which may have been moved, and by
    what the model was trained with."""
    if run.kind != "model" or "model" in run.provenance:
        return False
    *_, folder, model = ["", *str(evaluation.provenance["model"]).rstrip("/").split("/")]
    recorded = Training.from_json(evaluation.provenance.get("training"))
    is_named = model == MODEL and folder == run.name.rpartition("/")[2]
    return is_named and recorded is not None and recorded == run.training


def _is_alike(evaluation: Run, run: Run) -> bool:
    """Whether both measured the same thing, and what the evaluation measured can be used."""
    if evaluation.problem is not None or run.divergence is not None:
        return False
    if evaluation.config == run.config:
        return True
    measured = _measured(evaluation.config)
    return measured is not None and measured == _measured(run.config)


def _measured(config_text: str) -> dict[str, Any] | None:
    """What a configuration says about what is measured; None for one that cannot be read.

    Its method is not part of that: `phf evaluate` measures every model with the control tokens that the model was trained with,
    from its own best one where a scenario names none or the best one of the configuration's method.
    """
    try:
        config = saved_config(config_text, CONFIG)
        meaning = meaning_of(with_prompting(config, Prompting()), ("dataset", "generation"))
        best = control_tokens_of(config.dataset).best
    except ConfigError:
        return None
    generation = meaning["generation"]
    scenarios = [
        {key: value for key, value in scenario.items() if key not in COUNTS}
        | {"prefix": None if scenario["prefix"] == best else scenario["prefix"]}
        for scenario in generation["scenario_configs"]
    ]
    kept = {key: generation[key] for key in ("scorer_config", "prefer")}
    return {"dataset": meaning["dataset"], "generation": kept, "scenarios": scenarios}


def _taken_in(run: Run, evaluation: Run) -> Run:
    """The run with the evaluation's numbers at its last step, and its samples."""
    places = ("step", "tokens_seen")
    numbers = {key: value for line in evaluation.metrics for key, value in line.items() if key not in places}
    last = {key: max((line[key] for line in run.metrics), default=0) for key in places}
    kept = [
        {key: value for key, value in line.items() if key not in numbers} if line["step"] == last["step"] else line
        for line in run.metrics
    ]
    described = evaluation.provenance
    facts = {key: described[key] for key in OF_MEASURING if described.get(key) is not None}
    more = {
        "evaluation_scorer": described.get("scorer"),
        EVALUATED_IN: [*evaluated_in(run), evaluation.name],
        "evaluation": {key: described[key] for key in OF_EVALUATION if key in described},
    }
    seeds = {**(run.provenance.get("seeds") or {}), **(described.get("seeds") or {})}
    return replace(
        run,
        metrics=[*kept, {**last, **numbers}],
        samples=run.samples | evaluation.samples,
        provenance={**run.provenance, **facts, **more, "seeds": seeds},
        notes=[*run.notes, *(f"{evaluation.name}: {note}" for note in evaluation.notes)],
        # the samples of the training, and what may be wrong with them, are not on the page
        lost_samples=None if run.samples.keys() <= evaluation.samples.keys() else run.lost_samples,
    )
