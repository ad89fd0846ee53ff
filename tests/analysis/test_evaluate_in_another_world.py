"""A policy made for one problem and evaluated in another: returns and regret by enumeration; worlds that do not fit."""

import itertools

import numpy as np
import pytest
import torch
from problems import gamble, random_mdp

from pgm_control import InvalidArgument, TabularModel, evaluate, infer


def expected_return(mdp, policy):
    """The return of a policy, by sums over the outcomes of each step."""
    value = np.zeros(mdp.num_states) if mdp.final_reward is None else mdp.final_reward.numpy()
    for t in reversed(range(mdp.horizon)):
        q = (mdp.probability * (mdp.reward + mdp.discount * torch.from_numpy(value)[mdp.successor])).sum(-1)
        value = (policy[t] * q.numpy()).sum(-1)
    return float(mdp.initial.numpy() @ value)


def renumbered(mdp, seed=0):
    """The same problem with its outcomes in another order, and one more of probability 0."""
    shape = *mdp.probability.shape[:2], mdp.num_outcomes + 1
    order = torch.from_numpy(np.random.default_rng(seed).random(shape)).argsort(-1)
    tables = {n: torch.nn.functional.pad(getattr(mdp, n), (0, 1)) for n in ("probability", "successor", "reward")}
    return mdp.replace(**{name: table.gather(-1, order) for name, table in tables.items()})


def best_by_enumeration(mdp):
    """The largest return of a deterministic policy."""
    shape = mdp.horizon, mdp.num_states
    choices = itertools.product(range(mdp.num_actions), repeat=shape[0] * shape[1])
    return max(expected_return(mdp, np.eye(mdp.num_actions)[np.reshape(each, shape)]) for each in choices)


@pytest.mark.parametrize("optimism", [0.0, 1.0])
def test_returns_and_regret_in_another_world_equal_enumeration(optimism):
    """The other world has more outcomes, another discount and a final reward."""
    own = random_mdp(1, states=2, outcomes=2, horizon=2)
    world = random_mdp(2, states=2, outcomes=4, horizon=2, discount=0.8).replace(final_reward=[1.0, -2.0])
    model = TabularModel(own, 0.7)
    posterior = infer(model, optimism)
    found, here = evaluate(model, posterior, world=world), evaluate(model, posterior)
    expected = expected_return(world, posterior.policy.numpy())
    assert found.true_return == pytest.approx(expected, abs=1e-12)
    assert found.best_return == pytest.approx(best_by_enumeration(world), abs=1e-12)
    assert found.regret == pytest.approx(best_by_enumeration(world) - expected, abs=1e-12)
    assert found.delusion == pytest.approx(here.imagined_return - expected, abs=1e-12)
    for name in ("imagined_return", "elbo", "policy_kl", "dynamics_kl"):
        assert getattr(found, name) == getattr(here, name), name
    assert found.world is world
    assert "world=TabularMDP(2 states, 2 actions, at most 4 outcomes" in repr(found)
    assert (here.world, here.best_return, here.regret) == (None, None, None)
    assert "world" not in repr(here)


@pytest.mark.parametrize("seed", range(4))
def test_a_world_with_renumbered_outcomes_is_the_same_world(seed):
    mdp = random_mdp(seed, horizon=4)
    model = TabularModel(mdp, 0.5)
    guide = infer(model, 1.0)
    here, there = evaluate(model, guide, world=mdp), evaluate(model, guide, world=renumbered(mdp, seed))
    assert there.world.num_outcomes == here.world.num_outcomes + 1  # pyright: ignore[reportAttributeAccessIssue]
    for name in ("true_return", "policy_entropy", "best_return", "regret", "delusion", "elbo"):
        assert getattr(there, name) == pytest.approx(getattr(here, name), abs=1e-13), name
    assert evaluate(model, guide, world=model) == here
    assert evaluate(model, guide).true_return == here.true_return


@pytest.mark.parametrize("seed", range(4))
def test_regret_is_zero_for_the_best_policy_of_the_world_and_not_negative_for_others(seed):
    model, world = TabularModel(random_mdp(seed), 0.7), random_mdp(seed + 50, outcomes=4, discount=0.9)
    best = infer(TabularModel(world, 0.0), 0.0)
    assert evaluate(model, best.policy, world=world).regret == pytest.approx(0.0, abs=1e-13)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        assert evaluate(model, rng.dirichlet(np.ones(2), (3, 3)), world=world).regret > -1e-12


def test_a_model_as_the_world_compares_with_the_policies_that_its_prior_allows():
    mdp = gamble(jackpot=30.0)
    model, safe = TabularModel(mdp), TabularModel(mdp, 2.0, [[1.0, 0.0]])
    assert evaluate(model, infer(model, 0.0), world=mdp).best_return == pytest.approx(6.0)
    assert evaluate(model, np.array([[1.0, 0.0]]), world=safe).regret == 0
    assert evaluate(model, np.array([[0.0, 1.0]]), world=safe).regret == pytest.approx(-5.0)


def test_a_world_without_escape_has_no_regret():
    doomed = gamble().replace(reward=[[[-np.inf, 0.0], [-np.inf, 0.0]]])
    found = evaluate(TabularModel(gamble()), TabularModel(gamble()), world=doomed)
    assert (found.true_return, found.best_return, found.regret) == (-np.inf, -np.inf, 0.0)


def test_a_world_in_another_dtype():
    model, world = TabularModel(random_mdp(0), 0.7), random_mdp(1)
    guide = infer(model, 1.0)
    double, single = evaluate(model, guide, world=world), evaluate(model, guide, world=world.to(dtype=torch.float32))
    assert single.true_return == pytest.approx(double.true_return, abs=1e-5)
    assert single.regret == pytest.approx(double.regret, abs=1e-5)


MISFITS = [
    (lambda: random_mdp(0, states=4), r"`world` must have the num_states of `model`, 3, but has 4: .* last state"),
    (lambda: random_mdp(0, actions=3), "`world` must have the num_actions of `model`, 2, but has 3"),
    (lambda: random_mdp(0, horizon=5), r"`world` must have the horizon of `model`, 3, but has 5.*world\.replace"),
    (lambda: random_mdp(0).replace(action_names=("right", "left")),
     "`world` must have the action_names of `model` in the same order, but number 0 is 'right' instead of 'left'"),
    (lambda: random_mdp(0).replace(state_names=list("acb")), "state_names of .* but number 1 is .c."),
]  # fmt: skip


@pytest.mark.parametrize(("world", "message"), MISFITS, ids=range(len(MISFITS)))
def test_worlds_of_other_sizes_and_orders_are_refused(world, message):
    model = TabularModel(random_mdp(0).replace(action_names=("left", "right"), state_names=list("abc")))
    for other in (world(), TabularModel(world())):
        with pytest.raises(InvalidArgument, match=message):
            evaluate(model, model, world=other)


@pytest.mark.wrong_types
def test_anything_else_as_a_world_is_refused():
    model = TabularModel(random_mdp(0))
    with pytest.raises(InvalidArgument, match="`world` must be a tabular model, such as"):
        evaluate(model, model, world=3)
