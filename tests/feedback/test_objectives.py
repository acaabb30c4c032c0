"""Objectives: hand-computed values, limits, and the two paths against each other."""

import math

import pytest
import torch
from torch import Tensor

from phf.errors import ConfigError, CorpusError, ObjectiveError
from phf.feedback.objectives import AWR, IGNORE_INDEX, MLE, Masking, Objective, Unlikelihood, build_objective
from phf.feedback.objectives.base import select_targets
from phf.feedback.objectives.logs import LogTotals, merged
from phf.models import head as head_module
from phf.models.head import chunked_loss, chunked_nll

BATCH, SEQ, WIDTH, VOCAB = 3, 7, 5, 11


class Focal(Objective):
    """A user's objective: defines token_loss and nothing else."""

    def token_loss(self, nll: Tensor, scores: Tensor, values: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        return (1 - torch.exp(-nll)) ** 2 * nll, {"focus": torch.exp(-nll)}


OBJECTIVES = {
    "mle": MLE(),
    "unlikelihood at 0": Unlikelihood(score_threshold=0.0, alpha=0.5),
    "unlikelihood soft": Unlikelihood(score_threshold=None, alpha=1.0),
    "masking": Masking(score_threshold=0.4),
    "awr": AWR(alpha=0.5, beta=0.3),
    "awr clipped": AWR(alpha=0.2, beta=0.01, clip_value=True, clip_weight_max=3.0),
    "awr normalised": AWR(alpha=0.5, beta=1.0, normalize_advantage=True),
    "awr fixed value": AWR(alpha=1.0, beta=1.0, fixed_value=0.0),
    "rwr": AWR(alpha=1, beta=10),
    "a user's own": Focal(),
}


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(BATCH, SEQ, WIDTH, generator=generator, dtype=torch.float64)
    labels = torch.randint(VOCAB, (BATCH, SEQ), generator=generator)
    labels[:, 0] = IGNORE_INDEX
    labels[1, 4:] = IGNORE_INDEX
    scores = torch.rand(BATCH, SEQ, generator=generator, dtype=torch.float64)
    scores[scores < 0.3] = 0.0
    scores[0, 2] = scores[2, 5] = torch.nan
    return {
        "hidden": hidden.requires_grad_(),
        "weight": torch.randn(VOCAB, WIDTH, generator=generator, dtype=torch.float64).requires_grad_(),
        "labels": labels,
        "scores": scores,
        "values": -torch.rand(BATCH, SEQ, generator=generator, dtype=torch.float64).requires_grad_(),
    }


def dense(objective: Objective, batch: dict[str, Tensor], num_items: int | None = None):
    return objective(
        logits=batch["hidden"] @ batch["weight"].T,
        labels=batch["labels"],
        token_scores=batch["scores"],
        values=batch["values"] if objective.uses_values else None,
        num_items=num_items,
    )


def chunked(objective: Objective, batch: dict[str, Tensor], chunk_tokens: int, num_items: int | None = None):
    targets = batch["labels"][:, 1:].reshape(-1)
    is_target = targets != IGNORE_INDEX
    values = batch["values"] if objective.uses_values else None
    scores, values = select_targets(batch["scores"], values, is_target, batch["hidden"])
    return chunked_loss(
        hidden=batch["hidden"][:, :-1].reshape(-1, WIDTH)[is_target],
        weight=batch["weight"],
        targets=targets[is_target],
        scores=scores,
        values=values,
        objective=objective,
        num_items=num_items or int(is_target.sum()),
        chunk_tokens=chunk_tokens,
    )


def gradients(loss: Tensor, batch: dict[str, Tensor]) -> list[Tensor]:
    leaves = [batch["hidden"], batch["weight"], batch["values"]]
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, grads, strict=True)]


@pytest.mark.parametrize("chunk_tokens", [1, 4, 1000])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_chunked_head_equals_dense_reference_in_value_gradient_and_logs(name, chunk_tokens, batch):
    objective = OBJECTIVES[name]
    expected, actual = dense(objective, batch), chunked(objective, batch, chunk_tokens)
    torch.testing.assert_close(actual.loss, expected.loss, rtol=1e-12, atol=1e-13)
    for mine, reference in zip(gradients(actual.loss, batch), gradients(expected.loss, batch), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-12)
    assert actual.logs.keys() == expected.logs.keys()
    for key in expected.logs:
        torch.testing.assert_close(actual.logs[key], expected.logs[key], rtol=1e-12, atol=1e-12)


def test_gradient_scales_with_what_the_loss_is_multiplied_by(batch):
    once = gradients(chunked(MLE(), batch, 4).loss, batch)
    thrice = gradients(3 * chunked(MLE(), batch, 4).loss, batch)
    for one, three in zip(once, thrice, strict=True):
        torch.testing.assert_close(3 * one, three)


@pytest.mark.parametrize(
    "name", sorted(OBJECTIVES.keys() - {"awr normalised"})
)  # whitens over the micro-batch by definition
def test_loss_is_a_sum_over_the_global_count_so_micro_batches_add_up(name, batch):
    objective = OBJECTIVES[name]
    num_items = int((batch["labels"] != IGNORE_INDEX).sum())
    whole = dense(objective, batch, num_items).loss
    parts = [
        dense(objective, {k: v if k == "weight" else v[i : i + 1] for k, v in batch.items()}, num_items).loss
        for i in range(BATCH)
    ]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "objective",
    [
        AWR(alpha=1, beta=1e12),
        AWR(alpha=1, beta=1e12, use_value_head=True),
        Unlikelihood(score_threshold=1.0, alpha=7.0),  # scores are at most 1: nothing is misaligned
        Masking(score_threshold=1.0),
    ],
)
def test_limits_to_mle(objective, batch):
    expected, actual = dense(MLE(), batch).loss, dense(objective, batch).loss
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=0)


@pytest.mark.parametrize("name", sorted(OBJECTIVES.keys() - {"a user's own"}))
def test_unscored_text_is_trained_on_as_plain_mle(name, batch):
    objective = OBJECTIVES[name]
    alpha = objective.alpha if isinstance(objective, AWR) else 1.0
    batch["scores"] = torch.full_like(batch["scores"], torch.nan)
    torch.testing.assert_close(dense(objective, batch).loss, alpha * dense(MLE(), batch).loss)
    for grad in gradients(dense(objective, batch).loss, batch):
        assert grad.isfinite().all()


def token_loss(objective: Objective, p: float, score: float, value: float | None = None) -> float:
    nll = torch.tensor([-math.log(p)], dtype=torch.float64)
    values = None if value is None else torch.tensor([value], dtype=torch.float64)
    return objective.token_loss(nll, torch.tensor([score], dtype=torch.float64), values)[0].item()


def test_unlikelihood_by_hand():
    objective = Unlikelihood(score_threshold=0.0, alpha=0.5)
    assert token_loss(objective, p=0.2, score=0.0) == pytest.approx(-math.log(0.2))  # 0 <= 0: aligned
    assert token_loss(objective, p=0.2, score=0.1) == pytest.approx(-0.5 * math.log(0.8))
    soft = Unlikelihood(score_threshold=None, alpha=0.5)
    assert token_loss(soft, p=0.2, score=0.1) == pytest.approx(-0.9 * math.log(0.2) - 0.5 * 0.1 * math.log(0.8))


def test_unlikelihood_called_by_hand_with_nothing_but_nll_is_finite():
    assert token_loss(Unlikelihood(score_threshold=0.0, alpha=1.0), p=1.0, score=1.0) == pytest.approx(-math.log(1e-20))


def test_awr_by_hand():
    # A = R - V = -0.3 + 0.5 = 0.2; weight exp(0.2 / 0.1) = e^2; (V - R)^2 = 0.2^2
    expected = 0.25 * math.exp(2) * -math.log(0.2) + 0.75 * 0.04
    assert token_loss(AWR(alpha=0.25, beta=0.1), p=0.2, score=0.3, value=-0.5) == pytest.approx(expected)
    # the weight is clipped at 5 < e^2
    clipped = AWR(alpha=0.25, beta=0.1, clip_weight_max=5.0)
    expected = 0.25 * 5 * -math.log(0.2) + 0.75 * 0.04
    assert token_loss(clipped, p=0.2, score=0.3, value=-0.5) == pytest.approx(expected)


def test_rwr_by_hand_has_no_value_head():
    rwr = AWR(alpha=1, beta=10)
    assert not rwr.uses_values
    assert token_loss(rwr, p=0.2, score=0.3) == pytest.approx(math.exp(-0.03) * -math.log(0.2))


def test_fixed_value_of_zero_is_a_value():
    # A = R - 0 = -0.3, not R - V
    fixed = AWR(alpha=1, beta=0.1, fixed_value=0.0)
    assert token_loss(fixed, p=0.2, score=0.3) == pytest.approx(math.exp(-3) * -math.log(0.2))


@pytest.mark.parametrize("settings", [{}, {"normalize_advantage": True}, {"clip_value": True}, {"fixed_value": -0.2}])
def test_the_distributions_that_an_inspection_logs_are_those_of_the_loss(settings, batch):
    awr = AWR(alpha=0.5, beta=0.3, clip_weight_max=2.0, **settings)
    is_target = batch["labels"][:, 1:].reshape(-1) != IGNORE_INDEX
    values = batch["values"] if awr.uses_values else None
    scores, values = select_targets(batch["scores"], values, is_target, batch["hidden"])
    tensors = awr.distributions(scores, values)
    logs = dense(awr, batch).logs
    assert tensors["advantage"].isnan().equal(scores.isnan())
    assert tensors["advantage"].nanmean().item() == pytest.approx(logs["advantage_avg"].item(), abs=1e-12)
    assert tensors["weight"].nanmean().item() == pytest.approx(logs["weight_avg"].item())
    assert tensors["weight"][~scores.isnan()].max().item() == pytest.approx(logs["weight_max"].item())


def test_advantage_is_whitened_over_scored_targets(batch):
    logs = dense(AWR(alpha=0.5, beta=1.0, normalize_advantage=True), batch).logs
    assert logs["advantage_avg"].item() == pytest.approx(0, abs=1e-12)


def test_a_masked_token_has_no_loss_and_no_gradient_but_counts_as_a_target():
    logits = torch.zeros(1, 4, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 1, 2, 3]])
    scores = torch.tensor([[0.0, 0.5, 0.6, torch.nan]], dtype=torch.float64)
    output = Masking(score_threshold=0.5)(logits=logits, labels=labels, token_scores=scores)
    assert output.loss.item() == pytest.approx(2 * math.log(4) / 3)  # of three targets, the second is masked
    assert output.logs["learned_share"].item() == pytest.approx(2 / 3)
    assert output.logs["lm_loss"].item() == pytest.approx(math.log(4))
    (grad,) = torch.autograd.grad(output.loss, logits)
    (plain,) = torch.autograd.grad(MLE()(logits=logits, labels=labels).loss, logits)
    assert (grad[0, 1] == 0).all()
    assert torch.equal(grad[0, [0, 2]], plain[0, [0, 2]])
    assert grad[0, 0, 1] < 0  # descending raises the logit of the learned target


def test_gradient_lowers_misaligned_tokens_and_raises_aligned_ones():
    logits = torch.zeros(1, 3, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, 1, 2]])
    scores = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    objective = Unlikelihood(score_threshold=0.5, alpha=1.0)
    (grad,) = torch.autograd.grad(objective(logits=logits, labels=labels, token_scores=scores).loss, logits)
    assert grad[0, 0, 1] < 0  # descending raises the logit of the aligned target
    assert grad[0, 1, 2] > 0
    assert (grad[0, 2] == 0).all()  # the last position predicts nothing


def test_awr_does_not_train_the_value_through_the_advantage(batch):
    only_lm = AWR(alpha=1, beta=0.3, use_value_head=True)
    assert (gradients(dense(only_lm, batch).loss, batch)[2] == 0).all()


def test_value_is_paired_with_the_next_token_score():
    values = torch.tensor([[-0.1, -0.2, -0.3]])
    scores = torch.tensor([[0.7, 0.8, 0.9]])
    paired, shifted = select_targets(scores, values, torch.tensor([True, True]), torch.zeros(1))
    assert paired.tolist() == pytest.approx([0.8, 0.9])
    assert shifted.tolist() == pytest.approx([-0.1, -0.2])


def test_chunked_nll_is_the_dense_one_even_for_unlikely_tokens():
    generator = torch.Generator().manual_seed(1)
    hidden, weight = torch.randn(9, 4, generator=generator) * 30, torch.randn(6, 4, generator=generator) * 3
    targets = torch.randint(6, (9,), generator=generator)
    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
    assert expected.max() > 150  # p underflows float32
    torch.testing.assert_close(chunked_nll(hidden, weight, targets, chunk_tokens=4), expected, rtol=1e-5, atol=1e-5)


def test_chunked_head_under_bfloat16_autocast_is_close_to_float32(batch):
    hidden, weight = batch["hidden"].detach().float(), batch["weight"].detach().float().requires_grad_()
    low = {**batch, "hidden": hidden.requires_grad_(), "weight": weight, "scores": batch["scores"].float()}
    reference = chunked(MLE(), low, 4)
    expected = torch.autograd.grad(reference.loss, weight)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = chunked(MLE(), low, 4)
    (actual,) = torch.autograd.grad(output.loss, weight)
    assert output.loss.dtype == actual.dtype == torch.float32
    torch.testing.assert_close(output.loss, reference.loss, rtol=2e-2, atol=0)
    assert (actual - expected).norm() < 0.02 * expected.norm()


def test_build_objective_reads_the_released_sections():
    awr = build_objective({"name": "AWR", "alpha": 1, "beta": "1e1"})
    assert isinstance(awr, AWR)
    assert awr.beta == 10.0
    assert build_objective({"name": "Unlikelihood", "score_threshold": 0, "alpha": 0.01}).score_threshold == 0.0


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "AWL"}, "Did you mean 'AWR'"),
        ({"name": "AWR", "betta": 1}, "objective.betta is not a setting of AWR. Did you mean 'beta'"),
        ({"name": "Unlikelihood", "alpha": 1}, "objective.score_threshold is missing"),
        ({"name": "AWR", "beta": "warm"}, "objective.beta is 'warm'"),
        ({"name": "AWR", "beta": 0}, "beta > 0"),
        ({"name": "AWR", "alpha": 2}, "0 <= alpha <= 1"),
        ({"name": "AWR", "fixed_value": 0.0, "use_value_head": True}, "contradict"),
        ({"name": "MLE", "alpha": 1}, "It takes none"),
        ({"alpha": 1}, "objective.name is missing"),
        ({"name": "no_such_package.module:Thing"}, "cannot be imported"),
        ({"name": "collections:Counter"}, "is in Python's standard library"),
    ],
)
def test_bad_section_says_what_to_do(section, message):
    with pytest.raises(ConfigError) as error:
        build_objective(section)
    assert message in str(error.value)


GAPS = [0.0, 1.0, 10.0, 16.0, 17.0, 46.0, 90.0, 120.0, 200.0, -30.0]


def loss_of_one_misaligned_token(weight, objective):
    """Of the chunked head, whose logits are the rows of `weight` [vocab, 1]; the target is token 0."""
    return chunked_loss(
        hidden=torch.ones(1, 1),
        weight=weight,
        targets=torch.tensor([0]),
        scores=torch.ones(1),
        values=None,
        objective=objective,
        num_items=1,
    )


@pytest.mark.parametrize("threshold", [0.0, None])
@pytest.mark.parametrize("gap", GAPS)
def test_unlikelihood_is_exact_in_float32_for_any_gap(gap, threshold):
    objective = Unlikelihood(score_threshold=threshold, alpha=1.0)
    exact = torch.tensor([gap, 0.0, 0.5, -1.0], dtype=torch.float64, requires_grad=True)
    loss = exact.logsumexp(0) - exact[1:].logsumexp(0)
    loss.backward()
    logits = torch.zeros(1, 2, 4)
    logits[0, 0] = exact.detach()
    logits.requires_grad_()
    dense = objective(logits=logits, labels=torch.tensor([[-100, 0]]), token_scores=torch.tensor([[0.0, 1.0]]))
    dense.loss.backward()
    weight = exact.detach().float().unsqueeze(1).requires_grad_()
    chunked = loss_of_one_misaligned_token(weight, objective)
    chunked.loss.backward()
    for computed, gradient in ((dense.loss, logits.grad[0, 0]), (chunked.loss, weight.grad[:, 0])):
        assert computed.item() == pytest.approx(loss.item(), rel=1e-6, abs=1e-12)
        torch.testing.assert_close(gradient.double(), exact.grad, rtol=1e-5, atol=1e-7)


def test_unlikelihood_under_bfloat16_autocast_is_exact_for_the_logits_it_was_given():
    objective = Unlikelihood(score_threshold=0.0, alpha=1.0)
    weight = torch.tensor([[40.0], [0.0], [0.0]], requires_grad=True)  # exact in bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = loss_of_one_misaligned_token(weight, objective)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(40 - math.log(2), rel=1e-6)
    assert weight.grad[:, 0].tolist() == pytest.approx([1, -0.5, -0.5])


def test_an_overflowing_logit_does_not_pass_for_certainty():
    targets = torch.tensor([0])
    assert chunked_nll(torch.full((1, 1), torch.inf), torch.tensor([[1.0], [1e-30]]), targets).isnan()
    logits = torch.tensor([[[torch.inf, 0.0], [0.0, 0.0]]])
    labels = torch.tensor([[-100, 0]])
    assert Unlikelihood(score_threshold=0.0, alpha=1.0)(logits=logits, labels=labels).loss.isnan()


def test_the_softmax_reads_the_logits_where_each_buffer_has_memory_of_its_own(batch, monkeypatch):
    expected = chunked(MLE(), batch, 4).loss
    monkeypatch.setattr(
        head_module, "_buffer", lambda shape, dtype, device: torch.full(shape, torch.nan, dtype=dtype, device=device)
    )
    torch.testing.assert_close(chunked(MLE(), batch, 4).loss, expected)


@pytest.mark.parametrize("score", [-0.1, 1.5, math.inf])
def test_soft_weights_refuse_scores_that_are_not_shares(score, batch):
    objective = Unlikelihood(score_threshold=None, alpha=1.0)
    batch["scores"][1, 2] = score
    with pytest.raises(CorpusError, match=r"Unlikelihood as configured needs scores in \[0, 1\]"):
        dense(objective, batch)
    hard = Unlikelihood(score_threshold=0.0, alpha=1.0)
    assert dense(hard, batch).loss.isfinite()


class Scalar(Objective):
    def token_loss(self, nll, scores, values):
        return nll.mean(), {}


class Column(Objective):
    def token_loss(self, nll, scores, values):
        return nll[:, None], {}


class Double(Objective):
    def token_loss(self, nll, scores, values):
        return nll.double(), {}


class Elsewhere(Objective):
    def token_loss(self, nll, scores, values):
        return nll.to("meta"), {}


class Number(Objective):
    def token_loss(self, nll, scores, values):
        return 1.0, {}


class NoLogs(Objective):
    def token_loss(self, nll, scores, values):
        return nll


class NoDictionary(Objective):
    def token_loss(self, nll, scores, values):
        return nll, None


class ScalarLog(Objective):
    def token_loss(self, nll, scores, values):
        return nll, {"share": nll.mean()}


class FloatLog(Objective):
    def token_loss(self, nll, scores, values):
        return nll, {"share": 0.5}


class IntegerLog(Objective):
    def token_loss(self, nll, scores, values):
        return nll, {"share": nll.long()}


class NumberedLog(Objective):
    def token_loss(self, nll, scores, values):
        return nll, {1: nll}


class TwoArguments(Objective):
    def token_loss(self, nll, scores):
        return nll, {}


class Detached(Objective):
    def token_loss(self, nll, scores, values):
        return nll.detach(), {}


class NoTensors(Focal):
    def distributions(self, scores, values):
        return [scores]


class ScalarWeight(Focal):
    def distributions(self, scores, values):
        return {"weight": scores.nanmean()}


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (NoTensors, r"NoTensors.distributions returned a list; it must return a dictionary of tensors"),
        (ScalarWeight, r"ScalarWeight.distributions returned as log 'weight' a tensor of shape \[\]"),
        (Scalar, r"Scalar.token_loss returned as losses a tensor of shape \[\], float32.*expected.*shape \[3\]"),
        (Column, r"Column.token_loss returned as losses a tensor of shape \[3, 1\]"),
        (Double, r"Double.token_loss returned as losses a tensor of shape \[3\], float64.*float32, on cpu"),
        (Elsewhere, r"Elsewhere.token_loss returned as losses.* on meta; expected"),
        (Number, r"Number.token_loss returned as losses a float"),
        (NoLogs, r"NoLogs.token_loss returned a tensor of shape \[3\].*it must return two things"),
        (NoDictionary, r"NoDictionary.token_loss returned a tuple of 2 \(Tensor, NoneType\)"),
        (ScalarLog, r"ScalarLog.token_loss returned as log 'share' a tensor of shape \[\]"),
        (FloatLog, r"FloatLog.token_loss returned as log 'share' a float"),
        (IntegerLog, r"IntegerLog.token_loss returned as log 'share' a tensor of shape \[3\], int64"),
        (NumberedLog, r"NumberedLog.token_loss logs under 1; names of logs must be strings"),
        (TwoArguments, r"TwoArguments.token_loss cannot be called with \(nll, scores, values\)"),
        (Detached, r"Detached.token_loss returned losses that do not depend on nll"),
    ],
)
def test_a_broken_objective_is_refused_when_it_is_built_with_what_was_expected(objective, message):
    with pytest.raises(ObjectiveError, match=message):
        build_objective({"name": f"{__name__}:{objective.__name__}"})


def test_a_shape_that_is_wrong_only_later_is_refused_by_both_paths(batch):
    class Sometimes(Objective):
        def token_loss(self, nll, scores, values):
            return nll[:3], {}

    assert build_objective({"name": f"{__name__}:Focal"})
    for path in (dense, lambda objective, batch: chunked(objective, batch, 1000)):
        with pytest.raises(ObjectiveError, match=r"Sometimes\.token_loss returned as losses"):
            path(Sometimes(), batch)


def test_totals_add_up_to_the_logs_of_the_whole_however_it_is_cut(batch):
    objective = AWR(alpha=0.5, beta=0.3)
    whole = dense(objective, batch)
    parts = LogTotals()
    for i in range(BATCH):
        parts.add(dense(objective, {k: v if k == "weight" else v[i : i + 1] for k, v in batch.items()}).totals)
    for name, mean in merged([parts.pairs()]).items():
        assert mean == pytest.approx(whole.logs[name].item(), rel=1e-6)
    halves = LogTotals(), LogTotals()
    for i, half in enumerate(halves):
        half.set_pairs(parts.pairs(), torch.device("cpu"))
        half.add_tokens({"lm_loss": torch.tensor([float(i)]), "x_max": torch.tensor([float(i), torch.nan])})
    logs = merged([half.pairs() for half in halves])
    count = parts.totals["lm_loss"].count.item()
    assert logs["lm_loss"] == pytest.approx((2 * parts.totals["lm_loss"].value.item() + 1) / (2 * count + 2))
    assert logs["x_max"] == 1.0


def test_a_log_that_no_token_has_is_nan():
    totals = LogTotals()
    nothing = torch.tensor([torch.nan, torch.nan])
    totals.add_tokens({"share": nothing, "share_max": nothing, "share_min": nothing})
    assert all(mean.isnan() for mean in totals.means().values())
    assert all(math.isnan(mean) for mean in merged([totals.pairs()]).values())
