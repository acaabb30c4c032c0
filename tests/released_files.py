"""The configuration files of the released system (github.com/tomekkorbak/pretraining-with-human-feedback), key by key.

Rewritten from their content: 34 files, of which a task and a method make a pair.
"""

import copy
from pathlib import Path
from typing import Any

import yaml

CONTROL = ["<|aligned|>", "<|misaligned|>"]
METHODS = ("mle", "filtering", "conditional", "ul", "awr", "rwr")
HALFWAY = {
    "toxicity": ("tomekkorbak/goofy_pasteur", "81a1701e025d2c65ae6e8c2103df559071523ee0", 1661599744, 25354),
    "pii": ("tomekkorbak/nervous_wozniak", "9e6c78543a6ff1e4089002c38864d5a9cf71ec90", 1649999872, 25177),
    "pep8": ("kejian/mighty-mle", "cf05a2b0558c03b08c78f07662c22989785b9520", 1649999872, 25177),
}
THRESHOLDS = {"toxicity": (5.6e-4, 7.8e-4, 7.8e-4), "pii": (0.0, 2.86e-4, 0.0), "pep8": (0, 2.361e-3, 0)}
"""Of conditional training, filtering and unlikelihood."""
WEIGHTS = {"toxicity": (0.5, 10), "pii": (0.5, 0.1), "pep8": (0.05, 1)}
"""alpha and beta of AWR."""
SAMPLING = {"do_sample": True, "max_length": 128, "min_length": 10, "temperature": 0.7, "top_p": 0.9, "top_k": 0}
PILE_SCORERS = {
    "toxicity": {"class_name": "DetoxifyToxicityScorer", "device": "cuda:0"},
    "pii": {"class_name": "PIIScorer"},
}
PILE_METRICS = [
    {"class_name": "Length"},
    {"class_name": "NGramStats", "n": 1},
    {"class_name": "NGramStats", "n": 2},
    {"class_name": "SelfBlEU", "n": 5},
]


def write_released_files(root: Path) -> list[tuple[Path, Path]]:
    """Write `root/configs`; returns the (task, method) pairs."""
    pairs = []
    for name, content in released_files().items():
        path = root / "configs" / f"{name}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    for task in HALFWAY:
        folder = root / "configs" / task
        for method in METHODS:
            pairs.append((folder / "pretrain.yml", folder / f"{method}.yml"))
            finetuning = folder / f"{method}.yml" if task == "pep8" else folder / f"{method}_finetune.yml"
            if finetuning.is_file():
                pairs.append((folder / "finetune.yml", finetuning))
    return pairs


def released_files() -> dict[str, dict[str, Any]]:
    """Name, such as `pii/awr_finetune`, -> content."""
    files: dict[str, dict[str, Any]] = {}
    for task in HALFWAY:
        pretrain = _pep8_task() if task == "pep8" else _pile_task(task)
        files |= {f"{task}/pretrain": pretrain, f"{task}/finetune": _finetuned(task, pretrain)}
        for method in METHODS:
            files[f"{task}/{method}"] = _method(task, method, pretrain, finetunes=False)
            if task == "pii" or (task == "toxicity" and method not in ("mle", "conditional")):
                files[f"{task}/{method}_finetune"] = _method(task, method, pretrain, finetunes=True)
    return files


def _training(task: str, output_dir: str, batch: int, **more: Any) -> dict[str, Any]:
    return {
        "output_dir": output_dir,
        "effective_batch_size": 64,
        **more,
        "num_tokens": 3.3e9,
        "learning_rate": 5e-4,
        "per_device_train_batch_size": batch,
        "fp16": True,
        "weight_decay": 0.1,
        "evaluation_strategy": "no",
        "logging_steps": 1,
        "warmup_ratio": 0.01,
        "logging_first_step": True,
        "seed": 42,
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "save_strategy": "steps",
        "save_steps": HALFWAY[task][3],
    }


def _model(name: str, **more: Any) -> dict[str, Any]:
    ignored = {"reorder_and_upcast_attn": True, "scale_attn_by": True}
    return {"path_or_name": name, "from_scratch": True, "gpt2_config_kwargs": ignored, **more}


def _pile_task(task: str) -> dict[str, Any]:
    shards = [
        f"tomekkorbak/{'detoxify' if task == 'toxicity' else 'pii'}-pile-chunk3-{first}-{first + 50_000}"
        for first in range(0, 1_950_000, 50_000)
    ]
    step = HALFWAY[task][3]
    return {
        "dataset": {"is_split_by_sentences": True, "datasets": shards},
        "tokenizer": {"path_or_name": "gpt2"},
        "model": _model("gpt2"),
        "objective": {"name": "MLE"},
        "training": _training(task, "training_output104340" if task == "toxicity" else "training_output2", 8),
        "generation": {
            "force_call_on": [step],
            "scorer_config": PILE_SCORERS[task],
            "metrics_configs": PILE_METRICS,
            "scenario_configs": [{"name": "unconditional", "num_samples": 4096, "generate_kwargs": SAMPLING}],
        },
        "kl_gpt3_callback": {
            "num_samples": 4096,
            "max_tokens": 64,
            "force_call_on": [step],
            "gpt3_kwargs": {"model_name": "davinci"},
        },
    }


def _pep8_task() -> dict[str, Any]:
    scenario = {"display_as_html": True, "num_samples": 4096, "num_hits_threshold": 0}
    long, short = ({**SAMPLING, "max_length": length, "eos_token_id": 0} for length in (640, 272))
    prompts = {"prompts_path": "resources/functions_csnet.jsonl", "use_prompt_for_scoring": True}
    return {
        "dataset": {
            "is_split_by_sentences": True,
            "datasets": ["kejian/codeparrot-train-more-filter-3.3b-cleaned"],
        },
        "tokenizer": {"path_or_name": "codeparrot/codeparrot-small"},
        "model": _model("codeparrot/codeparrot-small"),
        "objective": {"name": "MLE"},
        "training": _training("pep8", "training_output", 16),
        "generation": {
            "scorer_config": {"class_name": "PEP8Scorer"},
            "metrics_configs": [{"class_name": "Length"}, {"class_name": "NGramStats", "n": 1}],
            "batch_size": 128,
            "scenario_configs": [
                {"name": "unconditional", **scenario, "generate_kwargs": long},
                {"name": "functions", **scenario, **prompts, "generate_kwargs": short},
            ],
        },
        "kl_gpt3_callback": {
            "num_samples": 4096,
            "max_tokens": 64,
            "gpt3_kwargs": {"model_name": "code-cushman-001"},
        },
    }


def _finetuned(task: str, pretrain: dict[str, Any]) -> dict[str, Any]:
    name, revision, seen, _ = HALFWAY[task]
    content = copy.deepcopy(pretrain)
    content["dataset"]["skip_tokens"] = content["training"]["tokens_already_seen"] = seen
    content["model"] = _model(name, from_scratch=False, model_kwargs={"revision": revision})
    if task == "toxicity":
        content["training"]["save_steps"] = 2535
        del content["generation"]["force_call_on"], content["kl_gpt3_callback"]["force_call_on"]
    return content


def _method(task: str, method: str, pretrain: dict[str, Any], *, finetunes: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"objective": {"name": "MLE"}}
    tagging, filtering, unlikelihood = THRESHOLDS[task]
    if method == "filtering":
        content["dataset"] = {"filter_threshold": filtering}
    if method == "conditional":
        content |= _conditional(task, tagging, pretrain)
    if method == "ul":
        alpha = 0.01 if task == "pep8" else 1
        content["objective"] = {"name": "Unlikelihood", "score_threshold": unlikelihood, "alpha": alpha}
    if method in ("awr", "rwr"):
        alpha, beta = WEIGHTS[task] if method == "awr" else (1, 10)
        content["objective"] = {"name": "AWR", "alpha": alpha, "beta": beta}
        content["model"] = {"model_kwargs": {"value_head_config": {"is_detached": False}}}
        if every := 32 if finetunes else {"toxicity": 16}.get(task):
            content |= {"generation": {"every_n_steps": every}, "kl_gpt3_callback": {"every_n_steps": every}}
        if (task, method) == ("pep8", "awr"):
            content["kl_gpt3_callback"] = {"every_n_steps": 64}
    if not (task == "pep8" and method == "conditional"):
        content["training"] = _method_training(task, method, finetunes)
    return content


def _method_training(task: str, method: str, finetunes: bool) -> dict[str, Any]:
    if task == "pep8":
        rate, batch = {"awr": (1e-3, 256), "rwr": (1e-3, 64)}.get(method, (8e-4, 64))
        return {"effective_batch_size": batch, "learning_rate": rate, "save_steps": 6294 if batch == 256 else 25177}
    rate, batch = (1e-4, 128) if finetunes and task == "pii" else (5e-4, 64)
    if method not in ("awr", "rwr"):
        return {"effective_batch_size": batch, "learning_rate": rate}
    rate = 1e-3 if (task, method) == ("toxicity", "awr") else rate
    if not finetunes and task == "pii":
        return {"effective_batch_size": 64, "learning_rate": rate}
    batch, steps = (512, 3346) if finetunes else (1024, 1673)
    return {"effective_batch_size": batch, "learning_rate": rate, "save_steps": steps}


def _conditional(task: str, threshold: float, pretrain: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(pretrain)
    banned = [[32769]] if task == "pep8" else [[50257], [50258]]
    for scenario in changed["generation"]["scenario_configs"]:
        scenario["prefix"] = CONTROL[0]
        scenario["generate_kwargs"] = {**scenario["generate_kwargs"], "bad_words_ids": banned}
    changed["kl_gpt3_callback"]["prefix"] = CONTROL[0]
    tagging = {
        "threshold": threshold,
        "aligned_prefix": CONTROL[0],
        "misaligned_prefix": CONTROL[1],
        "drop_token_fraction": 0.1 if task == "pep8" else 0.01,
    }
    content = {"generation": changed["generation"], "kl_gpt3_callback": changed["kl_gpt3_callback"]}
    if task != "pep8":
        return {
            "dataset": {"conditional_training_config": tagging},
            "tokenizer": {"special_tokens": CONTROL},
            "model": {"num_additional_tokens": 2},
            **content,
        }
    content["generation"]["metrics_configs"].append({"class_name": "Compilability"})
    content["generation"]["scenario_configs"][1]["prompt_before_control"] = True
    content["kl_gpt3_callback"]["should_insert_prefix"] = True
    hub = {"hub_strategy": "all_checkpoints", "push_to_hub": True, "hub_model_id": "kejian/test-condpep8"}
    return {
        "dataset": {**pretrain["dataset"], "conditional_training_config": tagging},
        "tokenizer": {**pretrain["tokenizer"], "special_tokens": CONTROL},
        "model": {**pretrain["model"], "num_additional_tokens": 2},
        "training": {**pretrain["training"], "learning_rate": 8e-4, **hub},
        **content,
    }
