"""`SimulatorModel` and `SimulatedGuide`: the layout, the density, every kind of end, vectors, replays, and errors."""

import math
from typing import Any

import gymnasium
import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st
from problems import random_mdp
from pyro import poutine
from pyro.infer import Trace_ELBO
from pyro.infer.enum import get_importance_trace
from strategies import laws, mdp_of, problems

from pgm_control import EnvironmentFailure, InvalidArgument, InvalidGuide, TabularModel, ToGoELBO, to_gymnasium
from pgm_control.guides import SimulatedGuide
from pgm_control.guides.simulated import CategoricalPolicy, SquashedGaussianPolicy, WithoutPath, require_simulated
from pgm_control.inference.variational.elbo import elbo
from pgm_control.models import SimulatorModel
from pgm_control.models.simulator import unpacked
from pgm_control.networks.squashed_gaussian import SquashedGaussian

pytestmark = pytest.mark.slow


class Count(gymnasium.Env):
    """An environment whose reward is the step count, more for action 1; it ends after `length` steps in a given way."""

    def __init__(self, length, how="terminated", log=None):
        self.length, self.how, self.log = length, how, [] if log is None else log
        self.observation_space = spaces.Box(0.0, np.inf, (1,), np.float32)
        self.action_space = spaces.Discrete(2, start=1)
        self.t = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.log.append("reset")
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert 0 <= self.t < self.length, "it was stepped after its end"
        assert self.action_space.contains(action)
        self.t += 1
        self.log.append(int(action))
        ends = self.t == self.length
        return (
            np.full(1, self.t, np.float32),
            self.t + 10.0 * float(action - 1),
            ends and self.how != "truncated",
            ends and self.how != "terminated",
            {},
        )


class Square(gymnasium.Env):
    """One step in a box of two dimensions; the reward is minus the squared distance of the action from the middle."""

    def __init__(self):
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = spaces.Box(np.float32([0.0, -4.0]), np.float32([1.0, 4.0]))
        self.seen = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.seen.append(action)
        assert self.action_space.contains(action)
        return np.zeros(3, np.float32), -float(((action - [0.5, 0.0]) ** 2).sum()), True, False, {}


def traces(model, guide):
    """The trace of the model replayed against that of the guide, both with log-probabilities."""
    return get_importance_trace("flat", math.inf, model, guide, (), {})


def latent_and_factors(program):
    nodes = poutine.trace(program).get_trace().nodes
    return [name for name, site in nodes.items() if site["type"] == "sample" and name != "episodes"]


def table_of(guide):
    """The log-probabilities of a policy, one row per feature."""
    return guide.policy(torch.eye(guide.model.observations.features)).logits


# The program


def test_the_sites_are_those_of_the_tabular_model_in_its_order():
    mdp = random_mdp(seed=1, horizon=3)
    simulated = SimulatorModel(to_gymnasium(mdp), num_envs=2)
    assert latent_and_factors(simulated) == latent_and_factors(TabularModel(mdp))
    without = [name for name in latent_and_factors(simulated) if not name.startswith("optimality")]
    assert latent_and_factors(SimulatedGuide(simulated)) == without


@laws
@given(problem=problems(forbidden=False), number=st.integers(1, 3), seed=st.integers(0, 9))
def test_the_density_agrees_with_the_equation(problem, number, seed):
    """log p~ of the sampled values is the sum by hand of γ^t (r/τ + log ρ), a mean over episodes."""
    mdp, tau, gamma = mdp_of(problem), problem.temperature, problem.discount
    prior = np.vstack([problem.prior])
    model = SimulatorModel(lambda: to_gymnasium(mdp), tau, prior, None, number, seed, gamma)
    torch.manual_seed(seed)
    trace = poutine.trace(model).get_trace()
    total = 0.0
    for i in range(number):
        state = int(trace.nodes["state_0"]["value"][i].argmax())
        for t in range(mdp.horizon):
            action = int(trace.nodes[f"action_{t}"]["value"][i])
            step = unpacked(trace.nodes[f"outcome_{t}"]["value"][i])
            total += gamma**t * (float(step.reward) / tau + math.log(prior[state, action])) / number
            state = int(step.next_observation.argmax())
            if step.terminated or step.truncated:
                break
    assert float(trace.log_prob_sum()) == pytest.approx(total, rel=1e-4, abs=1e-4)


@pytest.mark.statistical
@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_the_elbo_of_a_policy_is_that_of_the_tabular_twin(discount):
    """Weights γ^t and sampled survival have the same objective. False alarm: 6e-7 each, five standard errors."""
    mdp = random_mdp(seed=3, horizon=3, discount=discount)
    tabular = TabularModel(mdp, 0.7)
    model = SimulatorModel(lambda: to_gymnasium(mdp, observe_time=True), 0.7, num_envs=100, seed=0, discount=discount)
    guide = SimulatedGuide(model, hidden=())
    next(guide.policy.parameters()).data.normal_()
    logits = table_of(guide).detach()[: 3 * mdp.num_states].reshape(3, mdp.num_states, -1).double()
    prior = tabular.blocks()
    exact = float(elbo(tabular, prior.replace(log_policy=logits.log_softmax(-1))))
    found = torch.tensor([-ToGoELBO().loss(model, guide) for _ in range(30)])
    assert abs(float(found.mean()) - exact) < 5 * float(found.std()) / 30**0.5


def test_a_replayed_model_does_not_step_the_environment_again():
    log = []
    model = SimulatorModel(lambda: Count(3, log=log), horizon=5)
    traces(model, SimulatedGuide(model))
    assert log.count("reset") == 1
    assert len(log) == 4
    assert model.num_resets == 1


def test_the_guide_cancels_the_dynamics_and_starts_at_the_prior():
    model = SimulatorModel(lambda: Count(3), 2.0, [0.2, 0.8], num_envs=3, horizon=9, seed=0)
    with torch.no_grad():
        p, q = traces(model, SimulatedGuide(model))
    for name, site in q.nodes.items():
        if name.startswith(("state", "outcome")):
            assert (site["log_prob"] == 0).all()
            assert (p.nodes[name]["log_prob"] == 0).all()
    reward = sum(float(unpacked(p.nodes[f"outcome_{t}"]["value"]).reward.mean()) for t in range(3))
    assert float(p.log_prob_sum() - q.log_prob_sum()) == pytest.approx(reward / 2.0, rel=1e-5)
    assert "state_4" not in q.nodes, "the program ends with the last episode"


# Ends of episodes


@pytest.mark.parametrize(
    ("how", "horizon", "cut"),
    [
        ("terminated", 5, False),
        ("truncated", 5, True),
        ("both", 5, False),
        ("truncated", 3, False),
        ("terminated", 2, False),
    ],
)
def test_only_truncation_by_the_environment_before_the_horizon_counts(how, horizon, cut):
    model = SimulatorModel(lambda: Count(3, how), horizon=horizon)
    nodes: Any = poutine.trace(model).get_trace().nodes
    last = min(3, horizon)
    flags = [bool(nodes[f"state_{t}"]["infer"]["truncated"].any()) for t in range(1, last + 1)]
    assert flags == [False] * (last - 1) + [cut]
    assert model.lengths.tolist() == [last]


def test_the_environments_own_time_limit_truncates():
    env = gymnasium.wrappers.TimeLimit(Count(9), 4)
    model = SimulatorModel(env)
    assert model.horizon == 4
    nodes: Any = poutine.trace(model).get_trace().nodes
    assert nodes["state_4"]["infer"]["truncated"].all()
    assert float(nodes["state_4"]["value"]) == 4.0


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=[mode.name for mode in AutoresetMode])
@pytest.mark.parametrize("how", ["terminated", "truncated"])
def test_a_vector_is_the_same_as_its_copies_in_every_autoreset_mode(mode, how):
    lengths = (1, 2, 5, 3)
    makes = [lambda n=n: Count(n, how) for n in lengths]
    alone = [iter(lengths), None]
    copies = SimulatorModel(lambda: Count(next(alone[0]), how), horizon=6, num_envs=4, seed=0)
    vector = SimulatorModel(SyncVectorEnv(makes, autoreset_mode=mode), horizon=6, seed=0)
    seen = []
    for model in (copies, vector):
        guide = SimulatedGuide(model)
        p: Any = None
        q: Any = None
        for _ in range(2):  # the second run begins while the vector is in the middle of episodes
            torch.manual_seed(0)
            with torch.no_grad():
                p, q = traces(model, guide)
        assert tuple(model.lengths) == lengths
        ends = [p.nodes[f"state_{n}"] for n in lengths]
        reached = [float(site["value"][i]) for i, site in enumerate(ends)]
        cut = [bool(site["infer"]["truncated"][i]) for i, site in enumerate(ends)]
        seen.append((reached, cut, model.returns.tolist(), float(p.log_prob_sum() - q.log_prob_sum())))
    assert seen[0] == seen[1]
    assert seen[0][0] == list(lengths), "the last observation is where the episode went, not where the next begins"
    assert seen[0][1] == [how == "truncated"] * 4


# Seeds


def test_the_episodes_depend_only_on_the_seed_and_the_number_of_resets():
    env = to_gymnasium(random_mdp(seed=2, horizon=4))
    one, two = (SimulatorModel(env, num_envs=3, seed=5) for _ in range(2))

    def drawn(model):
        torch.manual_seed(1)
        return poutine.trace(model).get_trace().nodes["outcome_3"]["value"]

    first, second = drawn(one), drawn(one)
    two.num_resets = 1
    assert torch.equal(drawn(two), second)
    two.num_resets = 0
    assert torch.equal(drawn(two), first)
    starts = [int(drawn(one)[:, :3].argmax()) for _ in range(20)]
    assert len(set(starts)) > 1, "episodes differ"


# Actions and observations


def test_the_prior_contains_the_volume_of_the_box_and_actions_are_stretched_to_it():
    env = Square()
    model = SimulatorModel(lambda: env, 2.0, horizon=1, seed=0)
    p = poutine.trace(model).get_trace()
    p.compute_log_prob()
    assert float(p.nodes["action_0"]["log_prob"]) == pytest.approx(-2 * math.log(2))
    action = p.nodes["action_0"]["value"][0].numpy()
    assert env.seen[0] == pytest.approx([0.5 + 0.5 * action[0], 4 * action[1]])
    edge = model.prior(torch.zeros(1, 3)).log_prob(torch.tensor([[1.0, -1.0]]))
    assert float(edge) == pytest.approx(-2 * math.log(2)), "the ends belong to the box"
    assert float(model.prior(torch.zeros(1, 3)).log_prob(torch.tensor([[1.1, 0.0]]))) == -math.inf


def test_a_prior_may_be_a_function_of_the_observation():
    def prior(observation):
        return dist.Categorical(logits=torch.cat((observation, -observation), -1))

    model = SimulatorModel(lambda: Count(3), action_prior=prior, horizon=3)
    nodes: Any = poutine.trace(model).get_trace().nodes
    expected = prior(torch.full((1, 1), 2.0)).log_prob(nodes["action_2"]["value"])
    assert float(nodes["action_2"]["fn"].log_prob(nodes["action_2"]["value"])) == pytest.approx(float(expected))
    model = SimulatorModel(lambda: Count(3), action_prior=lambda seen: torch.ones(len(seen), 2) / 2, horizon=3)
    probabilities: Any = model.prior(torch.zeros(5, 1))
    assert probabilities.probs.tolist() == [[0.5, 0.5]] * 5


def test_a_prior_may_be_a_table_by_state():
    table = [[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]]
    prior: Any = SimulatorModel(to_gymnasium(random_mdp(1)), action_prior=table).prior(torch.eye(3))
    assert torch.allclose(prior.probs, torch.tensor(table))


def test_a_masked_action_is_never_taken():
    model = SimulatorModel(lambda: Count(3), action_prior=[1.0, 0.0], horizon=3, num_envs=50)
    guide = SimulatedGuide(model)
    for parameter in guide.policy.parameters():
        parameter.data.normal_(std=5)
    with torch.no_grad():
        p, q = traces(model, guide)
    assert (q.nodes["action_1"]["value"] == 0).all()
    assert math.isfinite(float(p.log_prob_sum() - q.log_prob_sum()))


def test_mixed_observations_become_features():
    class Mixed(Count):
        def __init__(self):
            super().__init__(2)
            self.observation_space = spaces.Dict({"box": spaces.Box(0, 9, (2,)), "one": spaces.Discrete(3)})

        def _seen(self):
            return {"box": np.full(2, self.t, np.float32), "one": self.t}

        def reset(self, *, seed=None, options=None) -> Any:
            super().reset(seed=seed)
            return self._seen(), {}

        def step(self, action) -> Any:
            return self._seen(), *super().step(action)[1:]

    for env in (Mixed, SyncVectorEnv([Mixed] * 2, autoreset_mode=AutoresetMode.DISABLED)):
        model = SimulatorModel(env, num_envs=2, horizon=2)
        state = poutine.trace(SimulatedGuide(model)).get_trace().nodes["state_1"]["value"]
        assert state.shape == (2, 5)


def test_policies_start_at_the_prior_or_near_it_and_are_not_reparameterised():
    seen = torch.randn(4, 3)
    assert CategoricalPolicy(3, 2)(seen).probs.tolist() == [[0.5, 0.5]] * 4
    squashed = SquashedGaussianPolicy(3, 2)(seen)
    assert squashed.loc.abs().max() == 0
    assert torch.allclose(squashed.scale, torch.ones(4, 2))
    scale = torch.ones(4, 2, requires_grad=True)
    policies: list[Any] = [
        SquashedGaussian(scale, scale),
        dist.Normal(scale, scale).to_event(1),
        dist.TransformedDistribution(dist.Normal(scale, scale), [dist.transforms.TanhTransform()]).to_event(1),
    ]
    for policy in policies:
        assert policy().requires_grad
        assert not WithoutPath(policy)().requires_grad
        assert WithoutPath(policy).log_prob(torch.zeros(4, 2)).requires_grad


# Errors


class FreeOutcomes(torch.nn.Module):
    """A free guide, which samples its own outcomes."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.mean = torch.nn.Parameter(torch.zeros(model.observations.features + 3))

    def forward(self):
        pyro.module("outcomes", self)
        with pyro.plate("episodes", 1, dim=-1):
            seen = pyro.sample("state_0", dist.Delta(torch.zeros(1, self.model.observations.features), event_dim=1))
            pyro.sample("action_0", self.model.prior(seen))
            pyro.sample("outcome_0", dist.Normal(self.mean.expand(1, -1), 1.0).to_event(1))


@pytest.mark.parametrize(
    ("env", "remedy"), [("FrozenLake-v1", r"TabularModel\(TabularMDP"), ("CartPole-v1", r"Take SimulatedGuide")]
)
def test_a_free_guide_is_refused_with_the_reason(env, remedy):
    model = SimulatorModel(env, horizon=1)
    with pytest.raises(InvalidGuide, match=rf"`outcome_0` must come from stepping.*no density.*tilt.*{remedy}"):
        Trace_ELBO().loss(model, FreeOutcomes(model))
    assert "only clamped guides" in model.why_clamped()
    pyro.clear_param_store()


def test_a_guide_is_for_a_simulated_model():
    with pytest.raises(InvalidArgument, match=r"`model` must be simulated.*ClampedGuide"):
        require_simulated(TabularModel(random_mdp(0)))
    require_simulated(SimulatorModel(lambda: Count(3), horizon=3))


@pytest.mark.parametrize(
    "policy",
    [
        lambda seen: torch.zeros(len(seen)),
        lambda seen: dist.Categorical(logits=torch.zeros(2)),
        lambda seen: dist.Normal(torch.zeros(len(seen), 1), 1.0),
    ],
)
def test_a_policy_of_the_wrong_shape_is_refused(policy):
    class Policy(torch.nn.Module):
        def forward(self, seen):
            return policy(seen)

    model = SimulatorModel(lambda: Count(3), horizon=3, num_envs=3)
    with pytest.raises(InvalidGuide, match=r"`policy` must give a Pyro distribution of batch shape \(3,\) and event"):
        SimulatedGuide(model, Policy())()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be a positive number"),
        ({"discount": 1.5}, "`discount` must be a number above 0 and at most 1"),
        ({"horizon": 0}, "`horizon` must be a whole number, at least 1"),
        ({"horizon": None}, "`horizon` must be given for an environment without a time limit"),
        ({"seed": -1}, "`seed` must be a whole number, at least 0"),
        ({"num_envs": 0}, "`num_envs` must be a whole number, at least 1"),
        ({"action_prior": [0.5, 0.6]}, "`action_prior` must be probabilities that sum to 1"),
        ({"action_prior": [0.2, 0.3, 0.5]}, r"`action_prior` must have shape \(2,\), but has \(3,\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        SimulatorModel(lambda: Count(3), **{"horizon": 3, **arguments})


def test_an_impossible_number_of_copies_is_refused():
    with pytest.raises(InvalidArgument, match="`num_envs` must be 2, as in the vector"):
        SimulatorModel(SyncVectorEnv([lambda: Count(3)] * 2), num_envs=3, horizon=3)
    with pytest.raises(InvalidArgument, match="`num_envs` must be 1 for an environment without a spec"):
        SimulatorModel(Count(3), num_envs=2, horizon=3)


def test_vectorised_particles_are_refused_and_sequential_ones_are_not():
    model = SimulatorModel(lambda: Count(3), horizon=3, num_envs=2)
    guide = SimulatedGuide(model)
    assert math.isfinite(Trace_ELBO(num_particles=2).loss(model, guide))
    with pytest.raises(InvalidArgument, match="Raise `num_envs` instead of vectorising particles"):
        Trace_ELBO(num_particles=2, vectorize_particles=True, max_plate_nesting=1).loss(model, guide)


def test_numbers_that_are_not_finite_are_reported():
    class Broken(Count):
        reward, seen = math.nan, 0.0

        def step(self, action) -> Any:
            observation, _, *rest = super().step(action)
            return observation + np.float32(self.seen), self.reward, *rest

    class Blind(Broken):
        reward, seen = 0.0, math.nan

    class Raising(Count):
        def step(self, action):
            raise ZeroDivisionError("oh")

    for env, message in (
        (
            Broken,
            r"The reward of Broken must be one finite number, but is nan at step 0 of an episode that began with reset",
        ),
        (Blind, "The observation of Blind must be finite and in its observation space"),
        (
            Raising,
            r"Raising raised an error at step 0 of an episode that began with reset\(seed=\d+\).*ZeroDivisionError",
        ),
    ):
        with pytest.raises(EnvironmentFailure, match=message):
            SimulatorModel(lambda env=env: env(3), horizon=3)()
    model = SimulatorModel(Square, horizon=1)
    nowhere = dist.Delta(torch.full((1, 2), math.nan), event_dim=1)
    with pyro.validation_enabled(False), pytest.raises(InvalidGuide, match=r"`action_0` must be finite.*diverged"):
        model.run(lambda seen: nowhere)


def test_steps_out_of_order_are_refused():
    model = SimulatorModel(lambda: Count(3), horizon=3)
    earlier = poutine.trace(model).get_trace()
    conditioned = poutine.condition(model, data={"state_0": earlier.nodes["state_0"]["value"]})
    with pytest.raises(InvalidGuide, match=r"`outcome_0` must be drawn at the current step.*one run"):
        conditioned()
    poutine.replay(model, trace=earlier)()


def test_close_leaves_environments_passed_in_open():
    class Closing(Count):
        closed = 0

        def close(self):
            type(self).closed += 1

    SimulatorModel(Closing(3), horizon=3).close()
    assert Closing.closed == 0
    made = SimulatorModel(lambda: Closing(3), horizon=3, num_envs=2)
    made.close()
    assert Closing.closed == 2
    assert "2 episodes side by side" in repr(made)
