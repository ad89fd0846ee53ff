"""Guides written as Pyro functions have the blocks and the exact scores of the guides of the library."""

import logging

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import random_mdp

from pgm_control import (
    ClampedGuide,
    DialGuide,
    FreeGuide,
    InvalidArgument,
    InvalidGuide,
    Optimism,
    TabularModel,
    evaluate,
    infer,
    ledger,
    objective,
    rollout,
    scorecard,
    smc,
    tabulate,
    to_gymnasium,
)
from pgm_control.trajectories.beliefs import tilted_events

MDP = random_mdp(seed=1, horizon=3)
MODEL = TabularModel(MDP, 0.7)
ENDING = TabularModel(random_mdp(seed=1, horizon=3, discount=0.8), 0.7)
EVERYTHING = Optimism(1.0, 1.0, 1.0)
FACTORS = ("log_initial", "log_policy", "log_dynamics", "log_survival")


@pytest.fixture(autouse=True)
def _no_parameters(fresh_world):
    """Functions leave their parameters in Pyro's store."""
    yield
    pyro.clear_param_store()


def shaken(guide):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter += 0.7 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return guide


CLAMPED, FREE = shaken(ClampedGuide(MODEL)), shaken(FreeGuide(MODEL))
OWN_SURVIVAL = shaken(DialGuide(ENDING, EVERYTHING))
with torch.no_grad():
    OF_CLAMPED, OF_FREE, OF_OWN = CLAMPED.blocks(), FREE.blocks(), OWN_SURVIVAL.blocks()


def arriving(state, size):
    """The logits of a state that is certain."""
    return torch.where(torch.arange(size) == state, 0.0, -torch.inf)


def clamped():
    """A tabular policy with parameters in Pyro's store, in the true dynamics."""
    logits = pyro.param("policy", OF_CLAMPED.log_policy + 3.0)
    where = MDP.initial.log()
    for t in range(MDP.horizon):
        s = pyro.sample(f"state_{t}", dist.Categorical(logits=where))
        a = pyro.sample(f"action_{t}", dist.Categorical(logits=logits[t, s]))
        k = pyro.sample(f"outcome_{t}", dist.Categorical(logits=MDP.probability[s, a].log()))
        where = arriving(MDP.successor[s, a, k], MDP.num_states)
    pyro.sample(f"state_{MDP.horizon}", dist.Categorical(logits=where))


def free():
    """Its own start and dynamics, with probabilities as parameters under a constraint, and states by Delta."""
    blocks, simplex = OF_FREE, dist.constraints.simplex
    policy = pyro.param("policy", blocks.policy, constraint=simplex)
    dynamics = pyro.param("dynamics", blocks.log_dynamics.clone())
    s = pyro.sample("state_0", dist.Categorical(logits=pyro.param("initial", blocks.log_initial.clone())))
    for t in range(MDP.horizon):
        a = pyro.sample(f"action_{t}", dist.Bernoulli(policy[t, s, 1]))
        k = pyro.sample(f"outcome_{t}", dist.Categorical(logits=dynamics[t, s, a.long()]))
        s = pyro.sample(f"state_{t + 1}", dist.Delta(MDP.successor[s, a.long(), k])).long()


def ending():
    """Its own probability of survival; the state S is the end, where action 0 and outcome 0 are certain."""
    blocks, end = OF_OWN, ENDING.mdp.num_states
    survival = pyro.param("survival", blocks.survival, constraint=dist.constraints.unit_interval)
    s = pyro.sample("state_0", dist.Categorical(logits=blocks.log_initial))
    for t in range(ENDING.mdp.horizon):
        ended = s == end
        here = torch.where(ended, 0, s)
        policy = torch.where(ended, arriving(0, 2), blocks.log_policy[t, here])
        a = pyro.sample(f"action_{t}", dist.Categorical(logits=policy))
        chance = torch.where(ended, arriving(0, 3), blocks.log_dynamics[t, here, a])
        k = pyro.sample(f"outcome_{t}", dist.Categorical(logits=chance))
        target = ENDING.mdp.successor[here, a, k]
        lives = torch.where(ended, 0.0, survival[t, target])
        logits = torch.where(torch.arange(end) == target, lives.log(), -torch.inf)
        where = torch.cat((logits, torch.log1p(-lives)[None]))
        s = pyro.sample(f"state_{t + 1}", dist.Categorical(logits=where))


def markov():
    """The loop that Pyro's enumeration needs."""
    where = MDP.initial.log()
    for t in pyro.markov(range(MDP.horizon + 1)):
        s = pyro.sample(f"state_{t}", dist.Categorical(logits=where))
        if t == MDP.horizon:
            return
        a = pyro.sample(f"action_{t}", dist.Categorical(logits=OF_CLAMPED.log_policy[t, s]))
        k = pyro.sample(f"outcome_{t}", dist.Categorical(logits=MDP.probability[s, a].log()))
        where = arriving(MDP.successor[s, a, k], MDP.num_states)


def branching():
    """Python's control flow, which no batch can follow."""
    policy, where = OF_CLAMPED.log_policy, MDP.initial.log()
    for t in range(MDP.horizon):
        s = pyro.sample(f"state_{t}", dist.Categorical(logits=where)).item()
        logits = policy[t, 0] if s == 0 else policy[t, s]
        a = int(pyro.sample(f"action_{t}", dist.Categorical(logits=logits)))
        k = int(pyro.sample(f"outcome_{t}", dist.Categorical(logits=MDP.probability[s, a].log())))
        where = torch.full((MDP.num_states,), -torch.inf)
        where[int(MDP.successor[s, a, k])] = 0.0
    pyro.sample(f"state_{MDP.horizon}", dist.Categorical(logits=where))


FUNCTIONS = {
    "clamped": (MODEL, clamped, CLAMPED),
    "free": (MODEL, free, FREE),
    "ending": (ENDING, ending, OWN_SURVIVAL),
    "markov": (MODEL, markov, CLAMPED),
    "branching": (MODEL, branching, CLAMPED),
}


@pytest.mark.parametrize(("model", "function", "guide"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_a_function_has_the_blocks_and_the_scores_of_its_guide(model, function, guide):
    found, expected = tabulate(model, function), guide.blocks()
    for name in FACTORS:
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_allclose(one.exp().detach(), other.exp().detach(), rtol=0, atol=1e-12, err_msg=name)
    one, other = evaluate(model, function), evaluate(model, guide)
    for name in ("elbo", "imagined_return", "true_return", "policy_entropy", "policy_kl", "dynamics_kl"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-10), name
    scores = scorecard(model, {"function": function, "guide": guide}).scores
    assert scores["function"].gap == pytest.approx(scores["guide"].gap, abs=1e-10)
    one, other = ledger(model, function), ledger(model, guide)
    assert float(one.gap) == pytest.approx(float(other.gap), abs=1e-10)
    assert objective(model, function, EVERYTHING) == pytest.approx(objective(model, guide, EVERYTHING), abs=1e-10)
    assert len(tilted_events(model, function)) == len(tilted_events(model, guide))


def test_the_tables_are_differentiable_in_the_parameters():
    with torch.no_grad():
        tabulate(MODEL, clamped)
    parameter = pyro.get_param_store()._params["policy"]
    tabulate(MODEL, clamped).log_policy[1, 2, 0].backward()
    expected = torch.eye(2)[0] - OF_CLAMPED.policy[1, 2]
    torch.testing.assert_close(parameter.grad[1, 2], expected.to(parameter))
    assert int((parameter.grad != 0).sum()) == 2


def test_batches_run_the_function_a_few_times_and_loops_say_so(caplog):
    runs = []

    def counted():
        runs.append(1)
        clamped()

    caplog.set_level(logging.WARNING, "pgm_control")
    tabulate(MODEL, counted)
    assert len(runs) < 6
    assert not caplog.records

    def slow():
        branching()

    tabulate(MODEL, slow)
    tabulate(MODEL, slow)
    (record,) = caplog.records
    assert "slow is called 18 times. The reason: RuntimeError: " in record.getMessage()


def test_functions_are_proposals_of_smc_and_act_in_environments():
    guide = infer(MODEL, 1.0)

    def exact():
        guide()

    found = smc(MODEL, exact, 20, seed=0)
    assert found.log_evidence == pytest.approx(smc(MODEL, guide, 20, seed=0).log_evidence, abs=1e-9)
    assert len(rollout(to_gymnasium(MDP), tabulate(MODEL, exact), 5, seed=0).returns) == 5


@pytest.mark.wrong_types
def test_environments_do_not_know_the_model_of_a_function():
    with pytest.raises(InvalidArgument, match=r"tabulate\(model, guide\)"):
        rollout(to_gymnasium(MDP), clamped, 5, seed=0)


def test_parameters_and_random_numbers_do_not_change():
    before = torch.get_rng_state()
    tabulate(MODEL, clamped)
    tabulate(MODEL, branching)
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(pyro.param("policy").detach(), OF_CLAMPED.log_policy + 3.0)


def altered(action=None, outcome=None, state=None, extra=None, mdp=MDP):
    """A function that differs from the model in one place; each change gets t, the history and the logits."""

    def guide():
        where = mdp.initial.log()
        values = []
        for t in range(mdp.horizon + 1):
            where = state(t, values, where) if state and t > 0 else where
            s = pyro.sample(f"state_{t}", dist.Categorical(logits=where))
            if t == mdp.horizon:
                break
            drawn = torch.zeros(mdp.num_actions, dtype=torch.float64)
            drawn = action(t, [*values, s], drawn) if action else drawn
            a = pyro.sample(f"action_{t}", dist.Categorical(logits=drawn) if isinstance(drawn, torch.Tensor) else drawn)
            logits = mdp.probability[s, a].log()
            k = pyro.sample(f"outcome_{t}", dist.Categorical(logits=outcome(t, values, logits) if outcome else logits))
            where = arriving(mdp.successor[s, a, k], mdp.num_states)
            values += [s, a, k]
        if extra:
            extra()

    return guide


def one(size, place):
    return (torch.arange(size) == place).double()


REFUSED = {
    "memory of an action": (
        altered(action=lambda t, past, x: x + one(2, past[-3]) if t == 2 else x),
        r"must draw `action_2` from.*t and `state_2`,.*depends on `action_1`.*estimate\(model, guide\)",
    ),
    "memory of the start": (
        altered(action=lambda t, past, x: x + 0.01 * (past[0] == 1) * one(2, 0) if t == 2 else x),
        "must draw `action_2`.*depends on `state_0`",
    ),
    "memory in the dynamics": (
        altered(outcome=lambda t, past, x: x + one(3, past[-1]) if t == 1 else x),
        "must draw `outcome_1` from.*t, `state_1` and `action_1`,.*depends on `outcome_0`",
    ),
    "random numbers": (
        altered(action=lambda t, past, x: x + torch.rand(2) if t == 1 else x),
        "must draw `action_1`.*depends on random numbers that are no site",
    ),
    "random numbers of numpy": (
        altered(action=lambda t, past, x: x + torch.tensor(np.random.rand(2)) if t == 1 else x),  # noqa: NPY002
        "must draw `action_1`.*depends on random numbers that are no site",
    ),
    "another successor": (
        altered(state=lambda t, past, x: torch.zeros(3) if t == 2 else x),
        r"must draw `state_2` = \d.*probability 0.333333 and another state up to 0.333.*logits",
    ),
    "epsilons": (
        altered(state=lambda t, past, x: dist.Categorical(probs=x.exp()).logits),
        r"must draw `state_1` = \d.*probs=… raises them to machine epsilon",
    ),
    "extra site": (altered(extra=lambda: pyro.sample("mood", dist.Bernoulli(0.5))), "`mood` is extra"),
    "factor": (altered(extra=lambda: pyro.factor("mood", torch.tensor(0.5))), "`mood` is extra"),
    "missing sites": (lambda: None, "`action_0` is missing"),
    "too many actions": (altered(action=lambda t, past, x: torch.zeros(4)), "one of 2 values at `action_0`.*one of 4"),
    "a plate": (
        altered(action=lambda t, past, x: torch.zeros(5, 2)),
        r"one number at `action_0`, but draws a tensor of shape \(5,\)",
    ),
    "unnormalised": (
        altered(action=lambda t, past, x: dist.Delta(torch.tensor(0.0), log_density=0.3)),
        "`log_policy` of the guide must hold normalised",
    ),
    "scaled": (pyro.poutine.scale(altered(), 2.0), "neither observed nor scaled nor masked"),
    "observed": (pyro.condition(altered(), {"action_1": torch.tensor(0)}), "`action_1`, neither observed"),
}


@pytest.mark.parametrize(("guide", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_functions_that_are_no_tables_are_refused_with_the_site(guide, message):
    with pytest.raises(InvalidGuide, match=message):
        tabulate(MODEL, guide)


def test_the_functions_that_are_refused_differ_from_one_that_is_not():
    found = tabulate(MODEL, altered())
    for name in FACTORS[:3]:
        torch.testing.assert_close(getattr(found, name), getattr(MODEL.blocks(), name))


def test_survival_and_the_end_are_checked():
    def program(lives, after):
        mdp = ENDING.mdp

        def guide():
            s = pyro.sample("state_0", dist.Categorical(logits=mdp.initial.log()))
            for t in range(mdp.horizon):
                ended = s == mdp.num_states
                here = torch.where(ended, 0, s)
                policy = torch.where(ended, after, torch.zeros(2))
                a = pyro.sample(f"action_{t}", dist.Categorical(logits=policy))
                chance = torch.where(ended, arriving(0, 3), mdp.probability[here, a].log())
                k = pyro.sample(f"outcome_{t}", dist.Categorical(logits=chance))
                alive = torch.where(ended, 0.0, lives(s, a))
                logits = torch.where(torch.arange(3) == mdp.successor[here, a, k], alive.log(), -torch.inf)
                s = pyro.sample(f"state_{t + 1}", dist.Categorical(logits=torch.cat((logits, (1 - alive).log()[None]))))

        return guide

    fair, stay = torch.zeros(2), arriving(0, 2)
    tenth = lambda s, a: 0.8 + 0.1 * (a == 1)  # noqa: E731
    assert tabulate(ENDING, program(lambda s, a: torch.tensor(0.8), stay)).log_survival is None
    never = tabulate(ENDING, program(lambda s, a: torch.tensor(1.0), stay))
    assert float(never.survival.min()) == 1.0
    with pytest.raises(InvalidGuide, match="the end at `state_1` with a probability that depends on the state reached"):
        tabulate(ENDING, program(tenth, stay))
    with pytest.raises(InvalidGuide, match=r"after the end of an episode, state 3, .* at `action_1`"):
        tabulate(ENDING, program(lambda s, a: torch.tensor(0.8), fair))


def test_errors_of_the_function_are_its_own():
    def broken():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tabulate(MODEL, broken)
    with pytest.raises(InvalidArgument, match="called without arguments"):
        tabulate(MODEL, lambda observations: None)


def test_networks_in_float32_are_read():
    network = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))

    def policy(t, past, _):
        return network(torch.nn.functional.one_hot(past[-1], 3).float())

    guide = altered(action=policy)
    found = tabulate(MODEL, guide)
    assert found.log_policy.dtype == torch.float64
    expected = network(torch.eye(3)).log_softmax(-1)
    torch.testing.assert_close(found.log_policy[1], expected.double(), rtol=1e-5, atol=1e-6)
    with pytest.raises(InvalidGuide, match="depends on `state_0`"):
        tabulate(MODEL, altered(action=lambda t, past, x: policy(t, past, x) + policy(t, past[:1], x)))
