"""`phf evaluate` on folders: what is measured, kept, compared, and said about folders that cannot be."""

import importlib.util
import json
import math
import shutil

import pytest
from tests.ranks import run_ranks
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.config import dump_config, load_config
from phf.errors import ConfigError, CorpusError, MissingExtraError, OutputError
from phf.evaluation import model_evaluation as evaluation
from phf.evaluation.glue.tasks import check_glue
from phf.evaluation.run import chosen_parts, evaluate_folders
from phf.feedback import ControlTokens, Prompting
from phf.models import export_model
from phf.models.model_folder import find_model, own_task
from phf.runs.reader import read_run
from phf.sampling.generate import Samples

CONTROL = ("<|aligned|>", "<|misaligned|>")
PER_SECOND = "samples_per_second"


TASK = [
    "generation.scenario_configs.0.num_samples=4",
    "generation.scenario_configs.0.generate_kwargs.max_length=24",
    "generation.scenario_configs.0.name=unconditional",
    "generation.scenario_configs.0.prompts_path=null",
]


@pytest.fixture
def task(tmp_path):
    """Two documents, all held out, so that nothing big is scored."""
    rows = [{"id": str(i), "texts": ["x = 1\n", "y=2\n"] * 20, "scores": [0.0, 0.2] * 20} for i in range(2)]
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = [f"dataset.datasets=[{tmp_path}/eval.jsonl]", f"dataset.eval_datasets=[{tmp_path}/eval.jsonl]"]
    return load_config(task="pep8/quickstart", overrides=[*TASK, *data, "dataset.eval_fraction=0"])[0]


def export(folder, control=CONTROL, seed=0):
    """An exported model that nobody trained."""
    tokenizer = tiny_tokenizer(control)
    prompting = Prompting(control_tokens=ControlTokens(control or ()), tags_every_segment=bool(control), threshold=0.1)
    export_model(tiny_lm("gpt2", tokenizer, seed), tokenizer, folder, prompting)
    return folder


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return export(tmp_path_factory.mktemp("run") / "model")


def evaluate_folder(folder, task, output, parts=("generation",)):
    (numbers,) = evaluate_folders([folder], task, output, parts).numbers.values()
    return numbers


def test_a_folder_is_evaluated_into_the_form_of_a_run(conditional, task, tmp_path):
    numbers = evaluate_folder(conditional, task, tmp_path / "out", ("generation", "diversity", "held-out"))
    run = read_run(tmp_path / "out")
    assert run.method == conditional.parent.name
    assert run.scenarios == ["unconditional"]
    assert run.last("generation/unconditional/score") == numbers["generation/unconditional/score"]
    assert len(run.samples["unconditional"]) == 4
    assert run.provenance["scorer"]["class_name"] == "PEP8Scorer"
    assert run.provenance["versions"]["torch"]
    assert run.provenance["hardware"]["cores"] >= 1
    assert 0 <= numbers["generation/unconditional/distinct-1-grams"] <= 1
    assert numbers["eval/num_tokens"] > 0
    assert math.isfinite(numbers["eval/loss_aligned"])
    assert math.isfinite(numbers["eval/loss_misaligned"])
    again = evaluate_folder(conditional, task, tmp_path / "again")
    finite = {key: value for key, value in again.items() if value == value and PER_SECOND not in key}
    assert finite.items() <= numbers.items()


@pytest.mark.slow
def test_two_processes_measure_what_one_does_and_one_of_them_writes_and_speaks(conditional, task, tmp_path):
    """Sampled by our own loop and by `generate`, in several batches each; held-out loss in two batches; KL in three."""
    only_by_generate = {"repetition_penalty": 1.2, "do_sample": True, "max_length": 24}
    scenarios = [{}, {"name": "penalised", "generate_kwargs": only_by_generate}]
    base = task.generation.scenario_configs[0].model_dump(exclude_unset=True)
    values = {
        "generation.batch_size": 2,
        "generation.scenario_configs": [base | {"num_samples": 5} | more for more in scenarios],
        "kl_gpt3_callback": {
            "reference": {"path_or_name": str(conditional)},
            "num_samples": 5,
            "max_tokens": 12,
            "batch_size": 2,
        },
    }
    (tmp_path / "task.yaml").write_text(dump_config(task))
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    task = load_config(config=tmp_path / "task.yaml", overrides=overrides)[0]
    (tmp_path / "task.yaml").write_text(dump_config(task))
    options = ["--task", str(tmp_path / "task.yaml"), "--output", str(tmp_path / "two")]
    first, second = run_ranks(["-m", "phf", "evaluate", str(conditional), *options], tmp_path)
    said = first.stdout + second.stdout
    assert said.count("Samples and numbers are in") == 1
    assert said.count("eval/num_tokens") == 1
    assert said.count("Drawing 5 samples from the reference") == 1
    one = evaluate_folder(conditional, task, tmp_path / "one", ("generation", "diversity", "held-out", "kl"))
    two = read_run(tmp_path / "two")
    shared = [key for key in one if PER_SECOND not in key and math.isfinite(one[key])]
    parts = ("generation/unconditional/score", "generation/penalised/score", "eval/tag_gain", "kl/nats_per_sequence")
    assert {*parts} <= {*shared}
    assert {key: two.last(key) for key in shared} == pytest.approx(
        {key: one[key] for key in shared}, rel=1e-6, abs=1e-6
    )
    assert two.samples == read_run(tmp_path / "one").samples
    assert len(two.samples["penalised"]) == 5


def test_an_exported_conditional_model_starts_from_its_aligned_token(conditional, task, tmp_path, monkeypatch):
    seen = {}

    def generate(model, tokenizer, scenario, *, banned_token_ids, **rest):
        seen[scenario.name] = (scenario.prefix, tokenizer.convert_ids_to_tokens(banned_token_ids))
        return Samples([""] * 4, ["x = 1\n"] * 4, 1.0)

    monkeypatch.setattr("phf.evaluation.generation.evaluator.generate_samples", generate)
    evaluate_folder(conditional, task, tmp_path / "aligned")
    assert seen == {"unconditional": ("<|aligned|>", ["<|misaligned|>"])}


def test_a_folder_of_plain_transformers_needs_no_phf_file(task, tmp_path):
    tokenizer = tiny_tokenizer()
    for part in (tiny_lm("llama", tokenizer), tokenizer):
        part.save_pretrained(tmp_path / "model")
    assert evaluate_folder(tmp_path / "model", task, tmp_path / "out")["generation/unconditional/num_samples"] == 4


def test_classes_of_held_out_segments_are_split_at_the_models_threshold(conditional, task, tmp_path):
    """The model's threshold 0.1 lies between the scores 0 and 0.2; above both, no token would be misaligned."""
    numbers = evaluate_folder(conditional, task, tmp_path / "out", ("held-out",))
    both = numbers["eval/loss_aligned"], numbers["eval/loss_misaligned"]
    assert all(math.isfinite(loss) for loss in both)
    assert not (tmp_path / "out" / "samples").exists()


def test_a_finished_part_is_kept_and_an_interrupted_one_is_done_again(conditional, task, tmp_path, monkeypatch):
    out = tmp_path / "out"
    said = []
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "held_out_blocks", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            evaluate_folder(conditional, task, out, ("generation", "held-out"))
    assert not (out / "metrics.jsonl").exists()
    before = (out / "samples" / "unconditional.jsonl").read_bytes()
    monkeypatch.setattr(
        "phf.evaluation.generation.evaluator.generate_samples", None
    )  # to sample again would be an error
    evaluate_folders([conditional], task, out, ("generation", "held-out"), said.append)
    name = conditional.parent.name
    assert said == [f"{name}: generation was measured before; kept", f"{name}: held-out"]
    assert (out / "samples" / "unconditional.jsonl").read_bytes() == before
    assert read_run(out).last("eval/loss") is not None


def test_results_of_another_model_or_other_settings_are_not_overwritten(conditional, task, tmp_path):
    out = tmp_path / "out"
    evaluate_folder(conditional, task, out, ("held-out",))
    other = load_config(task="pep8/quickstart", overrides=[*TASK, "training.seed=7"])[0]
    for folder, config in ((conditional, other), (export(tmp_path / "other", seed=1), task)):
        with pytest.raises(OutputError, match="holds results of another model or other settings"):
            evaluate_folder(folder, config, out, ("held-out",))
    (out / "evaluation.json").write_text('{"identity"')
    with pytest.raises(OutputError, match=r"evaluation\.json: is not valid JSON"):
        evaluate_folder(conditional, task, out)


def test_several_models_are_compared_with_the_baseline(conditional, task, tmp_path):
    mle = export(tmp_path / "mle" / "model", control=None, seed=1)
    evaluated = evaluate_folders([mle, conditional], task, tmp_path / "out", ("generation",))
    name = conditional.parent.name
    assert list(evaluated.numbers) == ["mle", name]
    (comparison,) = evaluated.comparisons
    scores = [evaluated.numbers[model]["generation/unconditional/score"] for model in ("mle", name)]
    assert comparison.difference == pytest.approx(scores[1] - scores[0])
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    wanted = {k: None if v != v else v for k, v in comparison.to_json().items()}
    assert written["comparisons"] == [wanted]
    assert read_run(tmp_path / "out" / "mle").scenarios == ["unconditional"]


def test_a_scenario_may_name_more_scorers(conditional, task, tmp_path):
    more = {"scorers": [{"class_name": "RuffScorer"}]}
    scenarios = [task.generation.scenario_configs[0].model_copy(update=more)]
    config = task.model_copy(update={"generation": task.generation.model_copy(update={"scenario_configs": scenarios})})
    numbers = evaluate_folder(conditional, config, tmp_path / "out")
    assert numbers["generation/unconditional/RuffScorer/num_samples"] == 4
    run = read_run(tmp_path / "out")
    assert run.provenance["more_scorers"]["unconditional"][0]["class_name"] == "RuffScorer"
    assert run.scenarios == ["unconditional"]


def with_scenarios(task, *scenarios):
    """The task with these changes of its scenario, each under a name of its own."""
    first = task.generation.scenario_configs[0]
    changed = [first.model_copy(update={"name": f"s{number}", **changes}) for number, changes in enumerate(scenarios)]
    return task.model_copy(update={"generation": task.generation.model_copy(update={"scenario_configs": changed})})


def test_a_scenario_whose_control_token_a_model_lacks_is_skipped_for_that_model(conditional, task, tmp_path):
    mle = export(tmp_path / "mle" / "model", control=None, seed=1)
    config = with_scenarios(task, {}, {"prefix": "<|misaligned|>"}, {"guidance_scale": 1.5})
    said = []
    evaluated = evaluate_folders([mle, conditional], config, tmp_path / "out", ("generation",), said.append)
    name = conditional.parent.name
    assert {n.split("/")[1] for n in evaluated.numbers["mle"]} == {"s0"}
    assert {n.split("/")[1] for n in evaluated.numbers[name]} == {"s0", "s1", "s2"}
    assert [comparison.scenario for comparison in evaluated.comparisons] == ["s0"]
    assert "mle: scenario 's1' is skipped: the model has no control token '<|misaligned|>'. Known" in said[0]
    assert said[1].startswith("mle: scenario 's2' is skipped: guidance_scale steers from one control token")


def test_a_scenario_that_no_model_can_run_is_an_error(conditional, task, tmp_path):
    for changes, message in (
        ({"prefix": "<|aligend|>"}, r"no control token '<\|aligend\|>'. Did you mean '<\|aligned\|>'"),
        ({"best_of": 4}, "best_of chooses by a value head"),
    ):
        with pytest.raises(ConfigError, match=message):
            evaluate_folder(conditional, with_scenarios(task, changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_aligned_prefix_of_the_tasks_own_method_is_that_of_each_model(conditional, task, tmp_path):
    """The configuration of a conditional run names its aligned token; a model of MLE has none and needs none."""
    own = load_config(task="pep8/quickstart", method="conditional")[0].dataset.conditional_training_config
    dataset = task.dataset.model_copy(update={"conditional_training_config": own})
    config = with_scenarios(task.model_copy(update={"dataset": dataset}), {"prefix": "<|aligned|>"})
    mle = export(tmp_path / "mle" / "model", control=None, seed=1)
    evaluated = evaluate_folders([conditional, mle], config, tmp_path / "out", ("generation",))
    assert all("generation/s0/score" in numbers for numbers in evaluated.numbers.values())
    assert len(evaluated.comparisons) == 1


def test_a_run_folder_stands_for_its_model_and_its_task(conditional, task, tmp_path):
    run = tmp_path / "runs" / "mine"
    shutil.copytree(conditional, run / "model")
    (run / "config.yaml").write_text(dump_config(task))
    assert find_model(run) == find_model(run / "model") == run / "model"
    assert own_task(run / "model") == run / "config.yaml"
    assert own_task(conditional) is None
    numbers = evaluate_folder(run, task, tmp_path / "out")
    assert numbers["generation/unconditional/num_samples"] == 4
    written = read_run(tmp_path / "out")
    assert written.provenance["training"]["task"] == task.task
    assert load_config(config=tmp_path / "out" / "config.yaml", for_models=True)[0] == task


def test_folders_without_a_model_say_what_they_are(tmp_path):
    (tmp_path / "run" / "checkpoint-2").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("")
    (tmp_path / "run" / "checkpoint-2" / "trainer_state.json").write_text("{}")
    with pytest.raises(CorpusError, match=r"is a checkpoint, which training resumes from.*--run-name run --output-dir"):
        find_model(tmp_path / "run" / "checkpoint-2")
    with pytest.raises(
        CorpusError, match=f"is a run that has exported no model yet.*--output-dir {tmp_path} --resume, or"
    ):
        find_model(tmp_path / "run")
    with pytest.raises(CorpusError, match=r"is not a model folder: it has no config\.json"):
        find_model(tmp_path)


def test_a_part_that_is_asked_for_and_not_configured_is_an_error(task):
    quickstart = load_config(task="pep8/quickstart")[0]
    assert chosen_parts((), (), False, task) == chosen_parts((), (), False)
    for part, key in (("kl", "kl_gpt3_callback.reference"), ("downstream", "downstream.tasks")):
        with pytest.raises(ConfigError, match=f"--only {part}: the task configures none. Set {key}"):
            chosen_parts((part,), (), False, quickstart)
    bare = with_scenarios(task)
    for part in ("generation", "diversity"):
        with pytest.raises(ConfigError, match=f"--only {part}: the task configures none"):
            chosen_parts((part, "held-out"), (), False, bare)
    assert chosen_parts(("held-out",), (), False, bare) == ["held-out"]
    with pytest.raises(ConfigError, match="Nothing is left to measure"):
        chosen_parts(("kl",), ("kl",), False, task)
    with pytest.raises(ConfigError, match=r"Nothing is left to measure\. Set one of these: kl: kl_gpt3_callback"):
        chosen_parts((), ("generation", "diversity", "held-out", "downstream"), False, bare)


def test_parts_are_chosen_by_name():
    assert chosen_parts((), (), False) == ["generation", "diversity", "kl", "held-out", "downstream"]
    assert chosen_parts(("kl", "generation"), (), True) == ["generation", "kl", "glue"]
    assert chosen_parts((), ("kl", "downstream"), False) == ["generation", "diversity", "held-out"]
    with pytest.raises(ConfigError, match="no part 'heldout' of the evaluation"):
        chosen_parts((), ("heldout",), False)


@pytest.mark.parametrize(
    ("part", "override", "library"),
    [
        ("downstream", "downstream.tasks=[lambada_openai]", "lm_eval"),
        ("glue", "glue.tasks=[sst2, cola]", "scikit-learn"),
    ],
)
def test_a_missing_extra_is_named_before_anything_is_measured(part, override, library, tmp_path, monkeypatch):
    config = load_config(task="pep8/quickstart", overrides=[override])[0]
    monkeypatch.setattr(importlib.util, "find_spec", lambda *names: None)
    with pytest.raises(MissingExtraError, match=rf"needs {library}\. Install it with: pip install 'phf\[eval\]'"):
        evaluate_folders([tmp_path], config, tmp_path / "out", ("generation", part))
    assert not (tmp_path / "out").exists()


def test_a_task_of_glue_that_needs_no_extra_runs_without(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *names: None)
    check_glue(["sst2", "stsb"])


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_a_model_folder_without_tokenizer_says_so(model_type, task, tmp_path):
    tiny_lm(model_type, tiny_tokenizer()).save_pretrained(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"MODEL_DIR: '.*model' (contains no tokenizer|cannot be loaded)"):
        evaluate_folder(tmp_path / "model", task, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_folders_say_what_is_missing(conditional, task, tmp_path):
    with pytest.raises(CorpusError, match=r"is not a model folder: it has no config\.json"):
        evaluate_folder(tmp_path, task, tmp_path / "out")
    shutil.copytree(conditional, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ConfigError, match=r"MODEL_DIR: '.*' is damaged: model.safetensors has 7 bytes instead"):
        evaluate_folder(tmp_path / "model", task, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        evaluate_folder(conditional, task, tmp_path / "file" / "out")


def test_samples_longer_than_the_models_context_are_refused_before_sampling(conditional, tmp_path):
    config = load_config(task="pep8/quickstart")[0]  # max_length 192, the model holds 64
    with pytest.raises(ConfigError, match="samples of up to 192 tokens do not fit the model's context of 64"):
        evaluate_folder(conditional, config, tmp_path / "out")
