"""Ways to write the model or guide in Pyro that silently give a wrong number, compared with the library's program."""

import gymnasium
import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import gamble, random_mdp
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate

from pgm_control import ClampedGuide, FreeGuide, TabularMDP, TabularModel, infer
from pgm_control.inference.variational.elbo import elbo


def enumerated(model, guide):
    return -TraceEnum_ELBO(max_plate_nesting=0).loss(model, config_enumerate(guide))


def carrying_program(blocks, model, is_model):
    """The usual loop of reinforcement learning: sample action, reward and next state, and carry the state over."""
    mdp = model.mdp
    state = pyro.sample("state_0", dist.Categorical(logits=blocks.log_initial))
    for t in pyro.markov(range(mdp.horizon)):
        action = pyro.sample(f"action_{t}", dist.Categorical(logits=blocks.log_policy[t][state]))
        outcome = pyro.sample(f"outcome_{t}", dist.Categorical(logits=blocks.log_dynamics[t][state, action]))
        if is_model:
            pyro.factor(f"optimality_{t}", mdp.reward[state, action, outcome] / model.temperature)
        arrival = torch.eye(mdp.num_states, dtype=torch.float64).log()[mdp.successor[state, action, outcome]]
        state = pyro.sample(f"state_{t + 1}", dist.Categorical(logits=arrival))


def test_trap_1_drawing_the_next_state_inside_the_step_breaks_enumeration():
    model = TabularModel(random_mdp(seed=1, horizon=5), 0.7)
    guide = FreeGuide(model)
    for parameter in guide.parameters():
        parameter.data.normal_()
    blocks = guide.blocks()
    truth = elbo(model, blocks).item()
    carried = enumerated(
        lambda: carrying_program(model.blocks(), model, True), lambda: carrying_program(blocks, model, False)
    )
    assert abs(carried - truth) > 0.05, "Pyro has fixed this: the warning in the docs can be removed"
    assert enumerated(model, guide) == pytest.approx(truth, abs=1e-10)


def test_trap_1_probabilities_instead_of_logits_make_impossible_outcomes_possible():
    """`Categorical(probs=…)` raises zeros to machine epsilon, and a free guide exploits them."""
    mdp = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), horizon=20).to(dtype=torch.float32)
    model = TabularModel(mdp, 0.05)

    def lifted():
        state = pyro.sample("state_0", dist.Categorical(probs=mdp.initial))
        for t in pyro.markov(range(mdp.horizon)):
            action = pyro.sample(f"action_{t}", dist.Categorical(probs=model.action_prior[state]))
            outcome = pyro.sample(f"outcome_{t}", dist.Categorical(probs=mdp.probability[state, action]))
            pyro.factor(f"optimality_{t}", mdp.reward[state, action, outcome] / model.temperature)
            arrival = torch.eye(mdp.num_states)[mdp.successor[state, action, outcome]]
            state = pyro.sample(f"state_{t + 1}", dist.Categorical(probs=arrival))

    exact = infer(TabularModel(mdp.to(dtype=torch.float64), 0.05), 1.0).log_evidence
    assert enumerated(config_enumerate(lifted), lambda: None) > exact + 1.0
    assert enumerated(config_enumerate(model), lambda: None) == pytest.approx(exact, abs=1e-3)


def test_trap_4_dynamics_enumerated_in_the_model_bring_optimism_back():
    model = TabularModel(gamble(jackpot=3.0, probability=0.2))
    policy = infer(model, 1.0).policy

    def actions_only():
        pyro.sample("state_0", dist.Categorical(logits=model.blocks().log_initial))
        pyro.sample("action_0", dist.Categorical(logits=policy[0, 0].log()))

    looks_clamped = enumerated(config_enumerate(poutine.block(model, hide=["state_1"])), actions_only)
    clamped, free = infer(model, 0.0).objective, infer(model, 1.0).log_evidence
    assert looks_clamped == pytest.approx(free, abs=1e-10)
    assert looks_clamped > clamped + 0.1
    assert enumerated(model, infer(model, 0.0)) == pytest.approx(clamped, abs=1e-10)


@pytest.mark.statistical
def test_trap_5_leaving_the_dynamics_out_is_not_a_clamp():
    """The bound is five standard errors, about one false alarm in 1.7 million; Pyro warns only with validation on."""
    model = TabularModel(gamble(jackpot=3.0, probability=0.5))
    mdp, clamped = model.mdp, infer(model, 0.0)

    def without_dynamics():
        state = pyro.sample("state_0", dist.Categorical(logits=mdp.initial.log()))
        pyro.sample("action_0", dist.Categorical(logits=clamped.policy[0].log()[state]))

    with pyro.validation_enabled(False):
        weights = torch.tensor([-Trace_ELBO().loss(model, without_dynamics) for _ in range(2000)], dtype=torch.float64)
    entropy = float(clamped.policy[0, 0, 1]) * torch.log(torch.tensor(2.0)).item()
    error = float(weights.std()) / len(weights) ** 0.5
    assert abs(float(weights.mean()) - (clamped.objective - entropy)) < 5 * error
    assert clamped.objective - float(weights.mean()) > 0.1
    ours = ClampedGuide(model)
    ours.policy_logits.data.copy_(clamped.policy.log() - model.action_prior.log())
    assert enumerated(model, ours) == pytest.approx(clamped.objective, abs=1e-10)


def test_trap_6_a_temperature_is_a_factor_not_a_scaled_model():
    temperature = 0.5
    mdp = gamble(horizon=3)
    exact = infer(TabularModel(mdp, temperature), 1.0).log_evidence
    scaled = poutine.scale(config_enumerate(TabularModel(mdp, 1.0)), 1.0 / temperature)
    try:
        wrong = enumerated(scaled, lambda: None)
    except ValueError:
        wrong = float("nan")
    assert wrong != pytest.approx(exact, abs=1e-3)
    assert enumerated(config_enumerate(TabularModel(mdp, temperature)), lambda: None) == pytest.approx(exact, abs=1e-10)


def test_trap_6_a_discount_is_survival_not_a_scaled_reward():
    """Discounting the log-factors by γ^t leaves the KL of later steps at full price; log γ per step is a constant."""
    discount, horizon = 0.8, 4
    mdp = random_mdp(seed=4, horizon=horizon, discount=discount)
    model = TabularModel(mdp)
    guide = infer(model, 0.0)

    def scaled_rewards():
        undiscounted = TabularModel(mdp.replace(discount=1.0))
        blocks = undiscounted.blocks()
        state = pyro.sample("state_0", dist.Categorical(logits=blocks.log_initial))
        for t in range(horizon):
            action = pyro.sample(f"action_{t}", dist.Categorical(logits=blocks.log_policy[t][state]))
            outcome = pyro.sample(f"outcome_{t}", dist.Categorical(logits=blocks.log_dynamics[t][state, action]))
            pyro.factor(f"optimality_{t}", discount**t * mdp.reward[state, action, outcome])
            state = mdp.successor[state, action, outcome]

    undiscounted = infer(TabularModel(mdp.replace(discount=1.0)), 0.0)
    naive = undiscounted.objective + horizon * torch.log(torch.tensor(discount)).item()
    assert guide.objective != pytest.approx(naive, abs=1e-3)
    assert enumerated(model, guide) == pytest.approx(guide.objective, abs=1e-10)
    rewards_only = -TraceEnum_ELBO(max_plate_nesting=0).loss(config_enumerate(scaled_rewards), lambda: None)
    assert rewards_only != pytest.approx(infer(model, 1.0).objective, abs=1e-3)
