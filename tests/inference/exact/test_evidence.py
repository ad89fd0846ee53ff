"""Tests of evidence on sites: enumeration of trajectories, Pyro's enumeration, the objective itself, and refusals."""

import itertools
import math

import numpy as np
import pyro
import pytest
import torch
from problems import random_mdp
from pyro.infer import TraceEnum_ELBO, config_enumerate

from pgm_control import FreeGuide, InvalidArgument, Optimism, TabularMDP, TabularModel, evaluate, fit, infer
from pgm_control.inference.variational.elbo import objective_of

VIRTUAL = {
    "state_0": [0.2, 1.0, 0.0],
    "state_2": [0.5, 0.1, 1.0],
    "action_1": [0.3, 0.9],
    "outcome_0": [1.0, 0.25, 0.5],
    "state_3": [1.0, 0.4, 0.6],
}
HARD = {"state_1": {0, 2}, "action_0": 1, "outcome_2": {0, 1}, "state_3": 2}


def some_model(seed=0, discount=1.0, final=True):
    mdp = random_mdp(seed=seed, horizon=3, discount=discount)
    mdp = mdp.replace(reward=mdp.reward - 3.0, final_reward=[-0.5, -1.0, -0.2] if final else None)
    return TabularModel(mdp, 0.7, [[0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])


def likelihoods(value, size):
    """The evidence on one site as a vector."""
    if isinstance(value, list):
        return np.array(value)
    members = value if isinstance(value, set) else {value}
    return np.array([float(i in members) for i in range(size)])


def enumerated(model, evidence):
    """log Σ over trajectories of their weight, and the probabilities of states by time, by enumeration."""
    mdp = model.mdp
    (states, actions, outcomes), steps, tau = mdp.probability.shape, mdp.horizon, model.temperature
    ends = mdp.discount < 1
    p, to, r, start, prior = (
        each.numpy() for each in (mdp.probability, mdp.successor, mdp.reward, mdp.initial, model.action_prior)
    )
    last = np.zeros(states) if mdp.final_reward is None else mdp.final_reward.numpy()

    def e(kind, t, value, size):
        site = f"{kind}_{t}"
        return likelihoods(evidence[site], size)[value] if site in evidence else 1.0

    def optimal(t, reward):
        paid = math.exp(reward / tau)
        return 1 - paid if evidence.get(f"optimality_{t}") == 0 else paid

    total, where = 0.0, np.zeros((steps + 1, states + ends))

    def go(t, state, weight, path):
        nonlocal total
        weight = weight * e("state", t, state, states + ends)
        path = [*path, state]
        if weight == 0:
            return
        if t == steps:
            weight *= optimal(t, last[state] if state < states else 0.0)
            total += weight
            for time, each in enumerate(path):
                where[time, each] += weight
            return
        if state == states:
            go(t + 1, state, weight * e("action", t, 0, actions) * e("outcome", t, 0, outcomes) * optimal(t, 0.0), path)
            return
        for a, k in itertools.product(range(actions), range(outcomes)):
            each = weight * prior[state, a] * e("action", t, a, actions) * p[state, a, k] * e("outcome", t, k, outcomes)
            each *= optimal(t, r[state, a, k])
            go(t + 1, to[state, a, k], each * mdp.discount, path)
            if ends:
                go(t + 1, states, each * (1 - mdp.discount), path)

    for s in range(states):
        go(0, s, start[s], [])
    return math.log(total), where / total


@pytest.mark.parametrize("evidence", [VIRTUAL, HARD, {"optimality_1": 0, "optimality_3": 0, "state_2": 1}])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_free_posterior_is_that_of_enumeration(evidence, seed):
    model = some_model(seed)
    expected, where = enumerated(model, evidence)
    found = infer(model, 1.0, evidence=evidence)
    assert found.log_evidence == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(found.marginals().state.numpy(), where, atol=1e-12)


@pytest.mark.parametrize(
    "evidence", [{"state_2": [0.5, 0.1, 1.0, 0.3]}, {"state_1": {1, 3}}, {"action_2": 0}, {"optimality_1": 0}]
)
def test_with_a_discount_the_end_is_a_state_too(evidence):
    model = some_model(discount=0.8)
    expected, where = enumerated(model, evidence)
    found = infer(model, Optimism(1.0, 1.0, 1.0), evidence=evidence)
    assert found.log_evidence == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(found.marginals().state.numpy(), where[:, :3], atol=1e-12)


def test_pyro_enumerates_the_conditioned_program_to_the_same_number():
    model = some_model(1)
    known = {"state_1": torch.tensor(2), "action_0": torch.tensor(1), "outcome_2": torch.tensor(0)}
    conditioned = pyro.condition(pyro.condition(model, data={"state_1": known["state_1"]}), data=known)
    loss = TraceEnum_ELBO(max_plate_nesting=0)
    expected = -loss.loss(config_enumerate(pyro.condition(model, data=known)), lambda: None)
    assert infer(model, 1.0, evidence=known).log_evidence == pytest.approx(expected, abs=1e-12)
    assert infer(conditioned, 1.0).log_evidence == pytest.approx(expected, abs=1e-12)
    assert infer(pyro.condition(model, data=known), 1.0, evidence={"state_3": 1}).log_evidence == pytest.approx(
        infer(model, 1.0, evidence={**known, "state_3": 1}).log_evidence, abs=1e-12
    )


def expected_log_factors(posterior, evidence):
    """E[Σ log e] under the posterior, without the start."""
    seen, total = posterior.marginals(), 0.0
    for site, value in evidence.items():
        kind, t = site.split("_")
        of = {"state": seen.state, "action": seen.state_action.sum(1), "outcome": seen.outcome.sum((1, 2))}[kind][
            int(t)
        ]
        log_e = torch.as_tensor(likelihoods(value, len(of))).log()
        total += float(torch.where(of > 0, of * log_e, 0.0).sum())
    return total


@pytest.mark.parametrize("beta", [-0.7, 0.0, 0.4, 1.0])
def test_the_objective_is_that_of_the_blocks_plus_the_expected_log_factors(beta):
    model, evidence = some_model(2), {site: value for site, value in VIRTUAL.items() if site != "state_0"}
    found = infer(model, beta, evidence=evidence)
    due = float(objective_of(model, found.blocks(), Optimism.of(beta))) + expected_log_factors(found, evidence)
    assert found.objective == pytest.approx(due, abs=1e-12)
    other = infer(model, beta)  # any other policy is worse
    worse = float(objective_of(model, other.blocks(), Optimism.of(beta))) + expected_log_factors(other, evidence)
    assert worse < due or beta < 0


@pytest.mark.parametrize("beta", [-0.7, 0.0, 0.4, 1.0])
def test_evidence_on_the_start_conditions_it(beta):
    model = some_model(1)
    start = model.mdp.initial * torch.tensor(VIRTUAL["state_0"], dtype=torch.float64)
    there = TabularModel(model.mdp.replace(initial=start / start.sum()), model.temperature, model.action_prior)
    found, expected = infer(model, beta, evidence={"state_0": VIRTUAL["state_0"]}), infer(there, beta)
    assert found.objective == pytest.approx(expected.objective + math.log(start.sum()), abs=1e-12)
    torch.testing.assert_close(found.initial, expected.initial)


def test_forward_messages_and_advantages_are_those_of_the_conditioned_model():
    model = some_model(0)
    found = infer(model, 1.0, evidence=VIRTUAL)
    joint = found.forward + found.v / model.temperature
    torch.testing.assert_close((joint - found.log_evidence).exp(), found.marginals().state)
    policy = model.action_prior * (found.advantage / model.temperature).exp()
    torch.testing.assert_close(policy, found.policy)


def corridor(slip):
    """Three cells; action 0 stays, action 1 moves right, where it slips back to the first cell with this chance."""
    right = [[1, 0], [2, 0], [2, 0]]
    return TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=[[[1.0, 0.0], [1.0 - slip, slip]]] * 3,
        successor=[[[s, s], right[s]] for s in range(3)],
        reward=np.zeros((3, 2, 2)),
        horizon=3,
        action_names=("stay", "move"),
        state_names=("left", "middle", "right"),
    )


@pytest.mark.parametrize("beta", [0.0, -1.0, 0.5])
def test_where_actions_make_sure_of_the_evidence_the_answer_is_the_free_one(beta):
    model, evidence = TabularModel(corridor(slip=0.0)), {"state_3": "right", "state_1": {"left", "middle"}}
    free, found = infer(model, 1.0, evidence=evidence), infer(model, beta, evidence=evidence)
    assert found.objective == pytest.approx(free.objective, abs=1e-12)
    assert free.log_evidence == pytest.approx(math.log(4 / 8))
    torch.testing.assert_close(found.policy[:1], free.policy[:1])


@pytest.mark.parametrize("beta", [0.0, -0.5])
def test_clamped_dynamics_cannot_be_conditioned_on_how_they_fell(beta):
    model = TabularModel(corridor(slip=0.1))
    with pytest.raises(InvalidArgument, match=r"no choice of actions makes sure .* free the dynamics"):
        infer(model, beta, evidence={"state_3": 2})
    assert infer(model, beta, evidence={"state_3": {0, 1}}).objective < 0
    assert infer(model, 0.3, evidence={"state_3": 2}).objective < infer(model, 1.0, evidence={"state_3": 2}).objective
    assert infer(model, beta, evidence={"action_1": "move"}).objective == pytest.approx(math.log(0.5))


def test_a_step_is_optimal_or_not():
    mdp = random_mdp(seed=4, horizon=1)
    model = TabularModel(mdp.replace(reward=mdp.reward - mdp.reward.max()))
    either = infer(model, 1.0).log_evidence, infer(model, 1.0, evidence={"optimality_0": 0}).log_evidence
    assert np.logaddexp(*either) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ({"state_4": 0}, "must name sites"),
        ({"state_01": 0}, "must name sites"),
        ({"action_3": 0}, "must name sites"),
        ({"reward_0": 0}, "must name sites"),
        pytest.param({3: 0}, "must name sites", marks=pytest.mark.wrong_types),
        ({"state_1": 3}, "whole number from 0 to 2"),
        ({"state_1": -1}, "whole number"),
        ({"state_1": "nowhere"}, "whole number"),
        ({"state_1": 0.5}, "whole number"),
        ({"state_1": True}, "whole number"),
        ({"state_1": set()}, "whole number"),
        ({"state_1": {0, 7}}, "whole number"),
        ({"state_1": [0.5, 0.5]}, "vector of 3 likelihoods"),
        ({"state_1": [0.0, 0.0, 0.0]}, "at least one of them positive"),
        ({"state_1": [0.5, 1.5, 0.0]}, "from 0 to 1"),
        ({"state_1": [0.5, math.nan, 0.0]}, "from 0 to 1"),
        ({"optimality_0": 2}, "must be 1, optimal, or 0"),
        pytest.param([("state_1", 0)], "must map sites", marks=pytest.mark.wrong_types),
        ({"state_0": {0}, "state_1": set()}, "whole number"),
    ],
)
def test_evidence_that_does_not_fit_is_refused(evidence, message):
    with pytest.raises(InvalidArgument, match=message):
        infer(some_model(), 1.0, evidence=evidence)


def test_evidence_without_a_probability_is_refused():
    model = TabularModel(corridor(slip=0.1))
    with pytest.raises(InvalidArgument, match="no trajectory of finite reward agrees"):
        infer(model, 1.0, evidence={"state_1": "right"})
    with pytest.raises(InvalidArgument, match="state_0 must be possible"):
        infer(model, 1.0, evidence={"state_0": "middle"})
    with pytest.raises(InvalidArgument, match="name each site once"):
        infer(pyro.condition(model, data={"state_2": torch.tensor(1)}), 1.0, evidence={"state_2": 1})
    with pytest.raises(InvalidArgument, match="positive temperature"):
        infer(TabularModel(corridor(slip=0.1), 0.0), 0.0, evidence={"state_2": 1})
    with pytest.raises(InvalidArgument, match="largest reward is 1"):
        infer(TabularModel(corridor(0.1).replace(reward=np.ones((3, 2, 2)))), 1.0, evidence={"optimality_0": 0})


def test_a_posterior_with_evidence_says_so_moves_and_serves_as_a_guide():
    model = some_model(0)
    found = infer(model, 1.0, evidence={**HARD, "state_0": 0})
    assert "given state_0, state_1, action_0" in repr(found)
    assert "given state_0" in found._repr_html_()
    single = found.to(dtype=torch.float32)
    assert single.evidence.log_factors["state_1"].dtype == torch.float32
    trace = pyro.poutine.trace(found).get_trace()
    assert trace.nodes["state_3"]["value"] == 2
    assert trace.nodes["action_0"]["value"] == 1


@pytest.mark.wrong_types
def test_a_conditioned_model_is_refused_by_what_does_not_take_it():
    model = TabularModel(random_mdp(0), 1.0)
    known = pyro.condition(model, data={"action_0": torch.tensor(0)})
    with pytest.raises(InvalidArgument, match=r"Only infer takes `pyro.condition`"):
        evaluate(known, infer(model, 0.0))
    with pytest.raises(InvalidArgument, match="must not be conditioned for a fit, but is, on action_0"):
        fit(known, FreeGuide(model))
