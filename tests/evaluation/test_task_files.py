"""Task files of a stranger run nothing, unless the command line gives leave."""

import json

import pytest
import yaml

pytest.importorskip("lm_eval")

from phf.config import load_config
from phf.config.schema import DownstreamConfig
from phf.errors import ConfigError, CorpusError, PhfError
from phf.evaluation.downstream.tasks import load_tasks

TASK = {
    "task": "phf_stranger",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{text}}",
    "doc_to_choice": ["a", "b"],
    "doc_to_target": 0,
    "metric_list": [{"metric": "acc"}],
}


@pytest.fixture
def folder(tmp_path):
    mark = f"from pathlib import Path\nPath({str(tmp_path / 'mark')!r}).touch()\n"
    (tmp_path / "phf_functions.py").write_text(f"{mark}def to_text(doc): return doc['text']\n")
    (tmp_path / "phf_metric.py").write_text(mark)
    (tmp_path / "data.jsonl").write_text(json.dumps({"text": "x"}) + "\n")
    return tmp_path


def tasks(folder, text="", leave=False, by_path=False, **changes):
    files = {"data_files": {"test": str(folder / "data.jsonl")}}
    path = folder / "stranger.yaml"
    path.write_text(yaml.safe_dump({**TASK, "dataset_kwargs": files, **changes}) + text)
    named = {"tasks": [str(path)]} if by_path else {"tasks": ["phf_stranger"], "include_path": str(folder)}
    return load_tasks(DownstreamConfig(**named, allow_code_execution=leave))["tasks"]["phf_stranger"]


@pytest.mark.parametrize("by_path", [False, True])
def test_functions_and_metrics_of_a_task_file_need_leave(folder, by_path):
    function = "process_docs: !function phf_functions.to_text\n"
    with pytest.raises(ConfigError, match=r"runs Python code \(phf_functions.to_text\).*allow_code_execution=true"):
        tasks(folder, function, by_path=by_path)
    with pytest.raises(ConfigError, match=r"runs Python code \(os\.system\)"):
        tasks(folder, "process_docs: !function os.system\n", by_path=by_path)
    metric = [{"metric": str(folder / "phf_metric.py"), "aggregation": "mean", "higher_is_better": True}]
    with pytest.raises(ConfigError, match=r"the metric .*phf_metric\.py of a task file is a program"):
        tasks(folder, metric_list=metric, by_path=by_path)
    assert not (folder / "mark").exists()
    with pytest.raises((PhfError, TypeError, KeyError)):  # the function is not a filter of documents, but it is called
        tasks(folder, function, leave=True, by_path=by_path)
    assert (folder / "mark").exists()


def test_templates_of_a_task_file_cannot_leave_their_sandbox(folder):
    escaping = "{{ cycler.__init__.__globals__.os.system('touch " + str(folder / "mark") + "') }}"
    with pytest.raises(CorpusError, match=r"cannot be loaded \(SecurityError"):
        tasks(folder, doc_to_text=escaping)
    assert not (folder / "mark").exists()
    assert tasks(folder).doc_to_text({"text": "x"}) == "x"


def test_leave_is_given_on_the_command_line_alone(tmp_path):
    path = tmp_path / "task.yml"
    path.write_text(
        yaml.safe_dump(
            {
                "dataset": {"datasets": ["x"]},
                "tokenizer": {"path_or_name": "x"},
                "model": {"path_or_name": "x"},
                "training": {},
                "generation": {"scorer_config": {"class_name": "PEP8Scorer"}},
                "downstream": {"tasks": ["humaneval"], "allow_code_execution": True},
            }
        )
    )
    for named in ({"task": str(path)}, {"config": path}):
        config, warnings = load_config(**named)
        assert not config.downstream.allow_code_execution
        assert any("is ignored in a file" in warning for warning in warnings)
        config, _ = load_config(**named, overrides=["downstream.allow_code_execution=true"])
        assert config.downstream.allow_code_execution
