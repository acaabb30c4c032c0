"""The charts of a report: which points they have, by hand."""

import json

import pytest
from tests.report.test_page import make_run, sample, with_schedule
from tests.report.test_verdicts import trained

from phf.evaluation.generation.evaluator import score_logs
from phf.report.curves import redteam_curves, training_curves
from phf.report.figures import sample_charts, trade_offs
from phf.report.methods import by_task, methods_of
from phf.runs.reader import read_run


def unprompted(folder, method, scores, seed=0, bits=2.0, **numbers):
    """A run whose samples have these scores."""
    trained(folder, method, 0.1, seed, numbers={"eval/bits_per_byte": bits, **numbers})
    rows = [sample(["x"], [score]) for score in scores]
    (folder / "samples" / "prompted.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = json.loads((folder / "metrics.jsonl").read_text())
    mean = sum(scores) / len(scores)
    line |= {
        "generation/prompted/score": mean,
        "generation/prompted/score_low": mean / 2,
        "generation/prompted/score_high": 2 * mean,
    }
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return read_run(folder)


def test_a_single_run_has_the_numbers_that_it_recorded(tmp_path):
    methods = methods_of([unprompted(tmp_path / "mle", "mle", [0.0, 0.5], bits=2.25)])
    ((one,),) = [chart.series for chart in trade_offs(methods)]
    assert one.points == [(2.25, 0.25, 0.125, 0.5, None, None, 0.0)]


def test_a_method_with_seeds_has_a_mean_with_intervals_and_a_pale_point_for_each(tmp_path):
    runs = [
        unprompted(tmp_path / f"mle-{i}", "mle", [score] * 4, i, bits)
        for i, (score, bits) in enumerate(((0.1, 2.0), (0.3, 2.2)))
    ]
    (chart,) = trade_offs(methods_of(runs))
    pale, (mean,) = [s for s in chart.series if s.is_minor], [s for s in chart.series if not s.is_minor]
    assert sorted((s.points[0].x, s.points[0].y) for s in pale) == [
        (2.0, pytest.approx(0.1)),
        (2.2, pytest.approx(0.3)),
    ]
    (point,) = mean.points
    assert (point.x, point.y) == (pytest.approx(2.1), pytest.approx(0.2))
    assert point.high - point.y == pytest.approx(12.706 * 0.1, rel=1e-3)  # Student's t, 1 degree of freedom
    assert point.x_high - point.x == pytest.approx(12.706 * 0.1, rel=1e-3)


def test_dominated_runs_are_hollow_and_say_by_which(tmp_path):
    rng = [0.01 * (i % 7) for i in range(70)]
    runs = [
        unprompted(tmp_path / "mle", "mle", [0.5 + x for x in rng], bits=2.0),
        unprompted(tmp_path / "good", "conditional", [0.1 + x for x in rng], bits=1.9),
        unprompted(tmp_path / "costly", "ul", list(rng), bits=2.5),
        unprompted(tmp_path / "equal", "awr", [0.5 + x for x in rng], bits=1.95),
    ]
    (chart,) = trade_offs(methods_of(runs))
    notes = {series.name: (series.is_hollow, series.note) for series in chart.series}
    good = "pep8/conditional"
    assert notes["pep8/mle"] == (True, f"Dominated by {good}.")  # not by awr: the difference might be chance
    assert notes["pep8/awr"] == (True, f"Dominated by {good}.")
    assert notes[good] == notes["pep8/ul"] == (False, "")


def test_kl_is_the_other_cost(tmp_path):
    kl = {"kl/nats_per_sequence": 12.0, "kl/nats_per_sequence_low": 11.0, "kl/nats_per_sequence_high": 13.0}
    charts = trade_offs(methods_of([unprompted(tmp_path / "mle", "mle", [0.0, 0.5], **kl)]))
    assert [chart.title for chart in charts] == ["Misalignment against held-out loss", "Misalignment against KL"]
    assert charts[1].series[0].points[0][4:6] == (11.0, 13.0)


def test_a_distribution_is_the_share_of_samples_above_each_score(tmp_path):
    (chart,) = [
        chart for chart in sample_charts(methods_of([unprompted(tmp_path / "mle", "mle", [0.0, 0.0, 0.25, 0.5])]))
        if chart.title == "Distribution of scores"
    ]  # fmt: skip
    assert [(point.x, point.y) for point in chart.series[0].points] == [(0.0, 0.5), (0.25, 0.25), (0.5, 0.0)]


def test_the_worst_of_k_is_that_of_the_table_and_grows_with_k(tmp_path):
    scores = [((7 * i) % 101) / 100 * (i % 3 == 0) for i in range(400)]
    maxima, hits = sample_charts(methods_of([unprompted(tmp_path / "mle", "mle", scores)]))[1:]
    logged = score_logs([""] * len(scores), scores, 0.0)
    for chart, key in ((maxima, "score_max@25"), (hits, "hit_probability@25")):
        (point,) = [point for point in chart.series[0].points if point.x == 25]
        assert point.y == pytest.approx(logged[key])
        ys = [point.y for point in chart.series[0].points]
        assert ys == sorted(ys)
        assert [point.x for point in chart.series[0].points] == [1, 2, 5, 10, 25, 50]  # 100 leaves 4 groups
    (first,) = [point for point in maxima.series[0].points if point.x == 1]
    assert first.y == pytest.approx(sum(scores) / len(scores))


def test_prompts_with_one_sample_each_have_no_curve_over_k(tmp_path):
    assert sample_charts(methods_of([trained(tmp_path / "mle", "mle", 0.1)]))[1:] == []


def test_training_curves_share_the_colour_of_a_method_and_say_what_was_logged(tmp_path):
    runs = []
    for seed, method in enumerate(("mle", "mle", "ul")):
        run = trained(tmp_path / f"{method}-{seed}", method, 0.1, seed)
        lines = [
            {"step": s, "tokens_seen": 64 * s, "train/lm_loss": 5.0 - s, "train/tokens_per_second": 100.0,
             "eval/loss_misaligned": 6.0 + s} for s in (1, 2, 3)
        ]  # fmt: skip
        folder = tmp_path / f"{method}-{seed}"
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        runs.append(read_run(folder))
        assert run.name == runs[-1].name
    charts = training_curves(runs, methods_of(runs))
    assert [chart.title for chart in charts] == ["Training loss", "Held-out loss, misaligned segments", "Speed"]
    loss = charts[0]
    assert [(one.colour, one.legend) for one in loss.series] == [(0, "pep8/mle"), (0, "pep8/mle"), (1, "pep8/ul")]
    assert [point[:2] for point in loss.series[0].points] == [(64, 4.0), (128, 3.0), (192, 2.0)]


def test_searches_have_the_score_of_the_best_prompt_in_each_round(tmp_path):
    folder = tmp_path / "search"
    folder.mkdir()
    lines = [
        {
            "step": s,
            "tokens_seen": 0,
            "redteam/best_fresh": v,
            "redteam/best_fresh_low": v and v / 2,
            "redteam/best_fresh_high": v and 2 * v,
        }
        for s, v in enumerate((0.125, None, 0.5))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (chart,) = redteam_curves([read_run(folder)])
    assert [tuple(point[:4]) for point in chart.series[0].points] == [(0, 0.125, 0.0625, 0.25), (2, 0.5, 0.25, 1.0)]


def test_phases_are_those_of_the_schedule(tmp_path):
    run = read_run(with_schedule(make_run(tmp_path / "a", "late-start"), ("mle", 0, 64), ("ul", 64, 128)))
    loss = training_curves([run], methods_of([run]))[0]
    assert [(phase.name, phase.start, phase.end) for phase in loss.schedules[0][1]] == [("mle", 0, 64), ("ul", 64, 128)]


def test_runs_are_divided_by_their_task(tmp_path):
    runs = [
        trained(tmp_path / name, name, 0.1, task=task) for name, task in (("a", "pii"), ("b", "pep8"), ("c", "pii"))
    ]
    assert [(task, [run.name for run in members]) for task, members in by_task(runs)] == [
        ("pii", ["a", "c"]),
        ("pep8", ["b"]),
    ]


def test_scenarios_that_differ_in_the_control_token_share_charts_and_others_do_not(tmp_path):
    runs = [
        trained(tmp_path / "mle", "mle", 0.3),
        trained(tmp_path / "conditional", "conditional", 0.1, scenarios=("aligned", "misaligned"), prefix="<|a|>"),
    ]
    names = ["pep8/mle, prompted", "pep8/conditional, aligned", "pep8/conditional, misaligned"]
    charts = trade_offs(methods_of(runs)) + sample_charts(methods_of(runs))
    assert [chart.title for chart in charts] == ["Misalignment against held-out loss", "Distribution of scores"]
    for chart in charts:
        assert [line.name for line in chart.series] == names
        assert len({line.colour for line in chart.series}) == 3
        assert "not comparable" not in chart.caption
    other = trained(
        tmp_path / "ul", "ul", 0.2, scenarios=("longer",), settings={"num_samples": 9, "prompts_path": "phf:pii"}
    )
    titles = [chart.title for chart in trade_offs(methods_of([*runs, other]))]
    assert titles == [
        f"Misalignment against held-out loss: {which}" for which in ("prompted, aligned, misaligned", "longer")
    ]
