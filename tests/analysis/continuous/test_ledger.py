"""The ledger of linear-quadratic models: the gap by block and step."""

import json
import math

import pytest
import torch
from linear_quadratics import double_integrator, random_model, scalar

from pgm_control import (
    InvalidArgument,
    LinearQuadraticModel,
    Optimism,
    OptimismBreakdown,
    evaluate,
    infer,
    ledger,
    objective,
)


def optima(model):
    """The optima of some β at which the objective is bounded."""
    found = {}
    for beta in (1.0, 0.3, 0.0, -0.002):
        try:
            found[beta] = infer(model, beta)
        except OptimismBreakdown:
            continue
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_entries_sum_to_the_gap(seed):
    model = random_model(seed, largest=(5, 3, 8))
    found = optima(model)
    for beta, best in found.items():
        for guide in found.values():
            account = ledger(model, guide, beta)
            gap = best.objective - objective(model, guide, beta)
            if beta == 0 and guide is not best:
                assert account.gap == gap == math.inf or account.gap == pytest.approx(gap, abs=1e-8)
                continue
            scale = max(1.0, abs(best.objective), abs(objective(model, guide, beta)), abs(account.gap))
            assert account.gap == pytest.approx(gap, abs=1e-10 * scale)
            signs = account.totals.policy >= -1e-12, account.totals.dynamics * (beta or 1.0) >= -1e-12
            assert all(signs)


def test_the_gap_of_free_and_clamped_guides():
    model = LinearQuadraticModel(double_integrator(), 1.0, 4.0)
    free, clamped = infer(model, 1.0), infer(model, 0.0)
    account = ledger(model, clamped)
    assert account.log_evidence == free.log_evidence
    assert account.elbo == pytest.approx(clamped.objective, abs=1e-11)
    assert account.gap == pytest.approx(free.log_evidence - clamped.objective, abs=1e-10)
    assert account.delusion_by_step.abs().max() < 1e-12
    assert ledger(model, free).gap == pytest.approx(0.0, abs=1e-12)
    assert "No gap: the guide is the exact posterior" in str(ledger(model, free))
    half = ledger(model, infer(model, 0.5))
    assert float(half.delusion_by_step.sum()) == pytest.approx(evaluate(model, infer(model, 0.5)).delusion, abs=1e-11)
    assert len(half.policy_by_step) == len(half.dynamics_by_step) == 20


def test_the_entries_are_expected_log_ratios():
    """By samples of the guide, for one that differs from the optimum in every block."""
    model = LinearQuadraticModel(scalar(horizon=3, initial_covariance=0.5), 1.0, 1.0)
    best, guide = infer(model, 1.0), infer(model, Optimism(dynamics=0.3, initial=-0.2))
    account, q, top = ledger(model, guide), guide.blocks(), best.blocks()
    drawn = q.sample(200_000, seed=0)

    def log_normal(x, mean, variance):
        return -0.5 * (x - mean) ** 2 / variance - 0.5 * variance.log()

    def check(ratio, expected):
        assert abs(float(ratio.mean()) - expected) <= 5 * float(ratio.std()) / 200_000**0.5 + 1e-12

    s, a = drawn.states[..., 0], drawn.actions[..., 0]
    start = [log_normal(s[:, 0], each.initial_mean[0], each.initial_covariance[0, 0]) for each in (q, top)]
    check(start[0] - start[1], account.initial)
    for t in range(3):
        policy = [
            log_normal(a[:, t], -each.gain[t, 0, 0] * s[:, t] - each.offset[t, 0], each.policy_covariance[t, 0, 0])
            for each in (q, top)
        ]
        check(policy[0] - policy[1], float(account.policy_by_step[t]))
        moved = [
            log_normal(
                s[:, t + 1],
                each.transition[t, 0, 0] * s[:, t] + each.transition[t, 0, 1] * a[:, t] + each.drift[t, 0],
                each.noise[t, 0, 0],
            )
            for each in (q, top)
        ]
        check(moved[0] - moved[1], float(account.dynamics_by_step[t]))


def test_what_it_prints_and_writes(tmp_path):
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    account = ledger(model, infer(model, 0.0))
    assert account.headline == "The largest part of the gap is the dynamics: 0.9178 of 1.591 nats."
    text = str(account)
    assert "log p(O) = -2.768 nats, ELBO = -4.358 nats" in text
    assert "the noise at t = 0 is 0.1333 down with deviation 0.4436 (truly 0 and 0.5477)" in text
    assert "The guide has the true dynamics. The exact posterior believes that" in text
    assert "start" in account._repr_html_()
    account.save(tmp_path / "ledger.json")
    assert json.loads((tmp_path / "ledger.json").read_text())["gap"] == account.gap
    account.save(tmp_path / "ledger.csv")
    rows = [line.split(",") for line in (tmp_path / "ledger.csv").read_text().splitlines()[1:]]
    assert sum(float(nats) for *_, nats in rows) == pytest.approx(account.gap, abs=1e-12)
    with pytest.raises(InvalidArgument, match=r"`path` must end in .json or .csv"):
        account.save(tmp_path / "ledger.txt")
    infinite = ledger(model, infer(model, 0.5), 0.0)
    assert infinite.gap == math.inf
    assert infinite.elbo == -math.inf
    assert "infinity" in infinite.headline
    infinite.save(tmp_path / "infinite.json")


def test_infinite_entries_of_both_signs_are_refused():
    model = LinearQuadraticModel(double_integrator().replace(W=torch.diag(torch.tensor([0.0, 0.05]))), 1.0, 4.0)
    guide = infer(model, 0.5).blocks()
    moved = guide.replace(
        noise=guide.noise + 0.01 * torch.eye(2, dtype=torch.float64),
        initial_mean=guide.initial_mean,
        initial_covariance=guide.initial_covariance,
    )
    assert ledger(model, moved, 1.0).gap == math.inf
    assert ledger(model, moved, Optimism(dynamics=0.5, initial=0.0)).gap == math.inf
    with pytest.raises(InvalidArgument, match="infinity minus infinity"):
        ledger(model, moved, Optimism(dynamics=-0.01, initial=0.0))
    with pytest.raises(OptimismBreakdown):
        ledger(model, guide, -50.0)
    cold = LinearQuadraticModel(scalar(), 0.0)
    regulator = infer(cold, 0.0)
    with pytest.raises(InvalidArgument, match="positive temperature"):
        ledger(cold, regulator)
