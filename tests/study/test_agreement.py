"""Runs are compared and averaged only if they were trained on the same data, not just on data at the same path."""

import json

import pytest
from tests.study.pieces import a_study, finished, runs_of

from phf.errors import OutputError
from phf.study.agreement import refuse_changed_data
from phf.study.folder import StudyFolder
from phf.study.page import write_answer
from phf.study.plan import expand
from phf.study.run import read_answer


def corpus(content, manifest="m1", num_documents=5027):
    return [
        {
            "source": "emails.jsonl",
            "manifest_sha256": manifest,
            "shards_sha256": content,
            "num_documents": num_documents,
        }
    ]


def trained(folder, run, dataset, score=0.1):
    finished(folder, run, [score, score + 0.1], 2.5)
    path = folder / run.name / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset": dataset}))


def answer_of(folder, **changes):
    study = a_study(**changes)
    return read_answer("mine", study, expand(study, (), folder)[0], StudyFolder(folder), {})


def test_a_run_of_other_data_is_in_no_mean_and_is_named_with_what_differs(tmp_path):
    first, second, third, other = runs_of(seeds=[1, 2, 3, 4], methods=["mle"])
    for run in (first, second, third):
        trained(tmp_path, run, corpus("aaaa1111bbbb"))
    trained(tmp_path, other, corpus("cccc2222dddd", num_documents=5030), score=0.9)
    answer = answer_of(tmp_path, seeds=[1, 2, 3, 4], methods=["mle"])
    ((result,), (name,)) = answer.results, answer.missing
    assert [(arm.seeds, arm.score.mean) for arm in result.arms] == [([1, 2, 3], pytest.approx(0.15))]
    assert name == other.name
    assert "5,030 documents of emails.jsonl (annotation cccc2222), but 3 of 4 runs" in answer.missing[name]
    assert "5,027 documents of emails.jsonl (annotation aaaa1111)" in answer.missing[name]
    assert answer.num_whole == 3
    write_answer(answer, StudyFolder(tmp_path))
    assert "cccc2222" in (tmp_path / "report.html").read_text()


def test_the_same_content_from_another_place_is_the_same_data(tmp_path):
    for number, run in enumerate(runs_of()):
        trained(tmp_path, run, corpus("aaaa", manifest=f"m{number}"))
    assert answer_of(tmp_path).missing == {}


def test_runs_that_did_not_record_the_content_are_compared_by_their_manifests(tmp_path):
    *same, other = runs_of()
    for run in same:
        trained(tmp_path, run, corpus(None))
    trained(tmp_path, other, corpus("aaaa", manifest="m2"))
    assert list(answer_of(tmp_path).missing) == [other.name]


def test_runs_whose_settings_name_different_corpora_may_have_different_data(tmp_path):
    settings = [{"name": name, "overrides": {"dataset.datasets": [f"{name}.jsonl"]}} for name in ("one", "two")]
    for run in runs_of(settings=settings):
        trained(tmp_path, run, corpus(run.config.dataset.datasets[0]))
    assert answer_of(tmp_path, settings=settings).missing == {}


def test_a_run_that_continues_a_model_of_other_data_is_left_out_too(tmp_path):
    changes = {"seeds": [1, 2, 3], "methods": ["mle"], "switch_points": [0.5]}
    for run in runs_of(**changes):
        trained(tmp_path, run, corpus("cccc" if "until-50-seed2" in run.name else "aaaa"))
    answer = answer_of(tmp_path, **changes)
    start = "pep8-quickstart-mle-until-50-seed2"
    assert answer.missing.keys() == {start, "pep8-quickstart-mle-from-50-seed2"}
    assert answer.missing["pep8-quickstart-mle-from-50-seed2"].startswith(f"{start}, whose model it continues")
    assert answer.results[0].arms[0].seeds == [1, 3]


def test_nothing_is_trained_on_data_that_has_changed_since_other_runs_were(tmp_path):
    runs = runs_of()
    folder = StudyFolder(tmp_path)
    for run in runs[:2]:
        trained(tmp_path, run, corpus("aaaa1111"))
    refuse_changed_data(runs, folder, {runs[2].name: corpus("aaaa1111", manifest="m2")})
    with pytest.raises(OutputError, match="has changed since") as raised:
        refuse_changed_data(runs, folder, {runs[2].name: corpus("bbbb2222", num_documents=7)})
    assert "(annotation aaaa1111) -> 7 documents of emails.jsonl (annotation bbbb2222): " in str(raised.value)
    assert all(str(folder.run(run.name)) in str(raised.value) for run in runs[:2])
