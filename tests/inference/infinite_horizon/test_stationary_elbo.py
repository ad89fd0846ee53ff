"""The ELBO of a stationary guide: its equations in numpy, its limit, its optimum and its derivatives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles_infinite import transition_of_policy
from problems import endless, gamble, mixing, random_mdp
from strategies import laws, mdp_of, problems

from pgm_control import (
    InvalidArgument,
    TabularMDP,
    TabularModel,
    average_reward,
    elbo_rate,
    growth_rate,
    stationary_elbo,
    value_iteration,
)
from pgm_control.inference.variational.elbo import elbo
from pgm_control.runtime import memory


def guide_of(seed, mdp):
    """Random log-tables of a policy, and of dynamics on the possible outcomes."""
    rng = np.random.default_rng(seed)
    log_policy = torch.from_numpy(rng.normal(size=mdp.probability.shape[:2])).log_softmax(-1)
    log_dynamics = (mdp.probability.log() + torch.from_numpy(rng.normal(size=mdp.probability.shape))).log_softmax(-1)
    return log_policy, log_dynamics


def chain_of(model, log_policy, log_dynamics):
    """The transitions and the gains of a guide in numpy."""
    mdp, policy, q = model.mdp, log_policy.exp().numpy(), log_dynamics.exp().numpy()
    p, prior = mdp.probability.numpy(), model.action_prior.numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        changed = np.where(q > 0, np.log(q / p), 0.0)
    price = mdp.reward.numpy() / model.temperature - changed - np.log(policy / prior)[..., None]
    return transition_of_policy(q, mdp.successor.numpy(), price, policy)


@laws
@given(problems(forbidden=False), st.integers(0, 99), st.booleans())
def test_it_solves_its_equations(problem, seed, clamped):
    mdp = mdp_of(problem).replace(discount=0.8)
    model = TabularModel(mdp, problem.temperature)
    log_policy, log_dynamics = guide_of(seed, mdp)
    log_dynamics = mdp.probability.log() if clamped else log_dynamics
    matrix, gain = chain_of(model, log_policy, log_dynamics)
    exact = mdp.initial.numpy() @ np.linalg.solve(np.eye(len(gain)) - 0.8 * matrix, gain)
    found = stationary_elbo(model, log_policy, None if clamped else log_dynamics)
    assert float(found) == pytest.approx(exact, rel=1e-10, abs=1e-10)
    shifted = stationary_elbo(model, log_policy + 3.0, log_dynamics - 2.0)
    assert float(shifted) == pytest.approx(exact, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("clamped", [True, False])
def test_it_is_the_limit_of_the_elbo_with_a_horizon(clamped):
    """Of the same tables at all times: at γ = .9 and T = 350 the rest is below 1e-13; per step it is a difference."""
    for discount in (0.9, 1.0):
        mdp = mixing(5).replace(discount=discount)
        log_policy, log_dynamics = guide_of(1, mdp)
        elbos = []
        for steps in (340, 350):
            model = TabularModel(mdp.replace(horizon=steps), 0.6)
            blocks = model.blocks().replace(log_policy=log_policy.expand(steps, -1, -1))
            if not clamped:
                blocks = blocks.replace(log_dynamics=log_dynamics.expand(steps, -1, -1, -1))
            elbos.append(float(elbo(model, blocks)))
        given_dynamics = None if clamped else log_dynamics
        if discount < 1:
            assert float(stationary_elbo(model, log_policy, given_dynamics)) == pytest.approx(elbos[1], abs=1e-11)
        else:
            rate = float(elbo_rate(model, log_policy, given_dynamics))
            assert rate == pytest.approx((elbos[1] - elbos[0]) / 10, abs=1e-11)


def maximum(of_guide, model, clamped, prior):
    """The ELBO after some steps of L-BFGS from the model's own tables."""
    mdp = model.mdp
    logits = [torch.zeros_like(prior, requires_grad=True)]
    logits += [] if clamped else [torch.zeros_like(mdp.probability, requires_grad=True)]
    optimiser = torch.optim.LBFGS(
        logits, max_iter=300, tolerance_grad=1e-11, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def tables():
        return prior.log() + logits[0], None if clamped else mdp.probability.log() + logits[1]

    def closure():
        optimiser.zero_grad()
        loss = -of_guide(model, *tables())
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return tables(), float(of_guide(model, *tables()))


@pytest.mark.parametrize("clamped", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_its_maximum_is_value_iteration(clamped, masked):
    prior = torch.tensor([[0.3, 0.7], [1.0, 0.0], [0.5, 0.5], [0.8, 0.2]], dtype=torch.float64)
    prior = prior if masked else torch.full((4, 2), 0.5, dtype=torch.float64)
    model = endless(random_mdp(0, states=4), 0.7, 0.8, prior)
    best = value_iteration(model, 0.0 if clamped else 1.0, 1e-12)
    (log_policy, _), found = maximum(stationary_elbo, model, clamped, prior)
    optimum = float(model.mdp.initial @ best.v) / 0.7
    assert found == pytest.approx(optimum, abs=1e-9)
    assert found <= optimum + 1e-10
    torch.testing.assert_close(log_policy.detach().softmax(-1), best.policy, atol=1e-4, rtol=0)
    own = stationary_elbo(model, best.policy.log(), None if clamped else best.dynamics.log())
    assert float(own) == pytest.approx(optimum, abs=1e-10)


@pytest.mark.parametrize("clamped", [True, False])
def test_the_maximum_per_step_is_the_gain_and_the_growth_rate(clamped):
    model = endless(mixing(4), 0.7)
    best = average_reward(model, 0.0 if clamped else 1.0, 1e-12)
    _, found = maximum(elbo_rate, model, clamped, model.action_prior)
    assert found == pytest.approx(best.gain / 0.7, abs=1e-9)
    if not clamped:
        growth = growth_rate(model, 1e-12)
        assert found == pytest.approx(growth.rate, abs=1e-9)
        assert float(elbo_rate(model, growth.policy.log(), growth.dynamics.log())) == pytest.approx(
            growth.rate, abs=1e-10
        )


def test_the_prior_count_adds_the_entropy_of_the_policy():
    mdp = random_mdp(2, states=4, discount=0.7)
    best = value_iteration(TabularModel(mdp, 0.5, "count"), 0.0, 1e-12)
    found = stationary_elbo(TabularModel(mdp, 0.5, "count"), best.policy.log())
    assert float(found) == pytest.approx(float(mdp.initial @ best.v) / 0.5, abs=1e-10)


@pytest.mark.parametrize("of_guide", [stationary_elbo, elbo_rate])
@pytest.mark.parametrize("clamped", [True, False])
def test_derivatives_in_every_table(of_guide, clamped):
    mdp = random_mdp(3, states=3).replace(discount=0.8)
    log_policy, log_dynamics = guide_of(0, mdp)
    logits = torch.where(mdp.probability > 0, mdp.probability.log(), -torch.inf)

    def of(log_policy, change, reward, own, prior, start):
        tables = {"probability": (logits + own).softmax(-1), "initial": start.softmax(-1), "reward": reward}
        model = TabularModel(mdp.replace(**tables), 0.7, prior.softmax(-1))
        return of_guide(model, log_policy, None if clamped else log_dynamics + change)

    rng = np.random.default_rng(1)
    shapes = [(3, 2), (3, 2, 3), (3, 2, 3), (3, 2, 3), (3, 2), (3,)]
    tables = [torch.from_numpy(0.3 * rng.normal(size=shape)).requires_grad_() for shape in shapes]
    tables[0] = (log_policy + tables[0].detach()).requires_grad_()
    assert torch.autograd.gradcheck(of, tables)
    assert torch.autograd.gradgradcheck(of, tables)


def test_the_derivative_by_the_reward_is_the_occupancy():
    mdp = random_mdp(1)
    log_policy, _ = guide_of(3, mdp)
    reward = mdp.reward.clone().requires_grad_()
    stationary_elbo(endless(mdp.replace(reward=reward), 0.5, 0.8), log_policy).backward()
    assert 0.5 * float(reward.grad.sum()) == pytest.approx(1 / (1 - 0.8))


def forbidding(reward):
    """State 0 may go to state 1, whose one outcome pays `reward`; action 1 avoids it. State 2 cannot be reached."""
    probability = [[[0.5, 0.5], [1.0, 0.0]], *[[[1.0, 0.0]] * 2] * 2]
    successor = [[[0, 1], [0, 0]], *[[[0, 0]] * 2] * 2]
    rewards = np.zeros((3, 2, 2))
    rewards[1], rewards[2] = reward, -np.inf
    return TabularMDP([1.0, 0.0, 0.0], probability, successor, rewards, 1, 0.5)


@pytest.mark.parametrize("of_guide", [stationary_elbo, elbo_rate])
def test_what_is_forbidden_has_the_value_minus_infinity_and_no_nan(of_guide):
    model = endless(forbidding(-np.inf), 1.0)
    for start, lost in ((0.0, True), (-torch.inf, False)):
        log_policy = torch.tensor([[start, 0.0]] * 3, dtype=torch.float64, requires_grad=True)
        found = of_guide(model, log_policy)
        found.backward()
        assert bool(found == -torch.inf) == lost
        assert found < torch.inf
        assert not log_policy.grad.isnan().any()
    denied = model.mdp.probability.log().masked_fill(model.mdp.successor == 1, -torch.inf)
    log_policy = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    assert of_guide(model, log_policy, denied) > -torch.inf
    impossible = torch.zeros(3, 2, 2, dtype=torch.float64, requires_grad=True)
    found = of_guide(endless(forbidding(1.0), 1.0), log_policy, impossible)
    found.backward()
    assert found == -torch.inf
    assert not impossible.grad.isnan().any()
    masked = endless(forbidding(1.0), 1.0, prior=np.array([[1.0, 0.0]] * 3))
    assert of_guide(masked, log_policy) == -torch.inf


def test_what_is_not_defined_is_refused(monkeypatch):
    model, log_policy = endless(gamble(), 1.0), torch.zeros(1, 2, dtype=torch.float64)
    with pytest.raises(InvalidArgument, match="`model` must have a discount below 1"):
        stationary_elbo(model, log_policy)
    with pytest.raises(InvalidArgument, match="`model` must have a positive temperature"):
        elbo_rate(endless(gamble()), log_policy)
    split = TabularMDP(
        [1.0, 0, 0, 0],
        [[[0.3, 0.7]], *[[[1.0, 0]]] * 3],
        [[[1, 2]], [[1, 1]], [[2, 2]], [[3, 3]]],
        np.zeros((4, 1, 2)),
        1,
    )
    one = torch.zeros(4, 1, dtype=torch.float64)
    with pytest.raises(InvalidArgument, match=r"`log_policy` must lead to one recurrent class .* any of 2 that"):
        elbo_rate(endless(split, 1.0), one)
    alone = split.replace(initial=[0.0, 1.0, 0.0, 0.0])  # the other classes are not reached
    assert float(elbo_rate(endless(alone, 1.0), one)) == 0.0
    for bad in (torch.tensor([[torch.nan, 0.0]]), torch.tensor([[torch.inf, 0.0]]), torch.full((1, 2), -torch.inf)):
        with pytest.raises(InvalidArgument, match="`log_policy` must"):
            elbo_rate(model, bad)
    monkeypatch.setattr(memory, "_SMALL", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 8.0)
    with pytest.raises(
        InvalidArgument, match="the linear equations of the 1 states that the guide reaches need 24 bytes"
    ):
        elbo_rate(model, log_policy)


@pytest.mark.wrong_types
@pytest.mark.parametrize("bad", [torch.zeros(2, 2), torch.zeros(1, 2, dtype=torch.int64), [[0.0, 0.0]]])
def test_tables_of_other_shapes_and_kinds_are_refused(bad):
    with pytest.raises(InvalidArgument, match=r"`log_policy` must be a floating tensor of shape \(1, 2\)"):
        elbo_rate(endless(gamble(), 1.0), bad)
