"""Models over vectors: their sites and numbers, against a recursion for a linear program; and what is refused."""

import re

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from pgm_control.errors import InvalidGuide, InvalidProblem, PGMControlError
from pgm_control.inference.sampling.estimate import estimate, estimate_elbo
from pgm_control.inference.sampling.iwae import iwae_bound
from pgm_control.inference.sampling.log_weights import log_weights
from pgm_control.inference.sampling.smc import smc
from pgm_control.models.continuous import ContinuousModel
from pgm_control.testing import check_guide, check_model

from .. import linear_gaussian as scalar
from ..ledge import ledge
from ..linear_gaussian_vectors import Optimal, model, reward


def plane(**changed):
    zero = torch.zeros(2, dtype=torch.float64)
    given = {
        "start": dist.Normal(zero, 1.0).to_event(1),
        "dynamics": lambda t, s, a: dist.Normal(s + a, 0.5).to_event(1),
        "reward": lambda t, s, a, ahead: -ahead.square().sum(-1),
        "horizon": 3,
        "action_prior": dist.Normal(zero, 1.0).to_event(1),
    }
    return ContinuousModel(**{**given, **changed})


def test_sites_are_in_order_and_are_vectors():
    report = check_model(ledge(horizon=2), seed=0)
    assert report.sites == ("state_0", "action_0", "state_1", "action_1", "state_2")
    trace = poutine.trace(ledge(horizon=2)).get_trace()
    factors = [name for name, site in trace.nodes.items() if site["type"] == "sample" and site["is_observed"]]
    assert factors == ["optimality_0", "optimality_1", "optimality_2"]
    assert trace.nodes["state_1"]["fn"].event_shape == (2,)


def test_the_exact_free_guide_has_a_constant_weight():
    weights = log_weights(model(), Optimal(model(), 1.0), 200, seed=0)
    assert float((weights - scalar.LOG_EVIDENCE).abs().max()) < 1e-9


def test_the_best_clamped_guide_has_its_known_elbo():
    of = model()
    found = estimate_elbo(of, Optimal(of, 0.0), 20_000, seed=0)
    assert found.mean == pytest.approx(scalar.CLAMPED_ELBO, abs=4 * found.standard_error)
    assert found.standard_error < 0.03
    assert check_guide(of, Optimal(of, 0.0), seed=0).free == ()
    assert check_guide(of, Optimal(of, 1.0), seed=0).free == ("initial", "dynamics")


def test_the_temperature_divides_rewards_and_returns_are_in_their_unit():
    of = model(temperature=2.0, reward=lambda *given: 2.0 * reward(*given))
    weights = log_weights(of, Optimal(of, 1.0), 50, seed=0)
    assert float((weights - scalar.LOG_EVIDENCE).abs().max()) < 1e-9
    one, other = (estimate(each, Optimal(each, 0.0), 200, seed=0) for each in (of, model()))
    assert one.true_return.mean == pytest.approx(2.0 * other.true_return.mean)


def test_samplers_take_it():
    of = model()
    guide = Optimal(of, 0.0)
    assert iwae_bound(of, guide, 200, 50, seed=0).mean == pytest.approx(scalar.LOG_EVIDENCE, abs=0.1)
    assert smc(of, guide, 2000, seed=0).log_evidence == pytest.approx(scalar.LOG_EVIDENCE, abs=0.1)


def test_a_plate_has_one_trajectory_for_each_element():
    def many():
        with pyro.plate("particles", 7):
            ledge(horizon=3)()

    trace = poutine.trace(many).get_trace()
    trace.compute_log_prob()
    assert trace.nodes["state_3"]["value"].shape == (7, 2)
    assert {trace.nodes[f"{kind}_{t}"]["log_prob"].shape for kind in ("action", "optimality") for t in range(3)} == {
        (7,)
    }


def test_the_final_reward_has_its_own_site_and_the_prior_may_depend_on_time_and_state():
    of = plane(
        action_prior=lambda t, s: dist.Normal(t - 0.5 * s, 1.0).to_event(1),
        final_reward=lambda s: s.sum(-1),
        start=lambda: dist.Delta(torch.ones(2, dtype=torch.float64)).to_event(1),
    )
    trace = poutine.trace(of).get_trace()
    assert torch.equal(trace.nodes["action_2"]["fn"].mean, 2 - 0.5 * trace.nodes["state_2"]["value"])
    assert float(trace.nodes["optimality_3"]["fn"].log_factor) == pytest.approx(
        float(trace.nodes["state_3"]["value"].sum())
    )


def test_the_policy_of_a_guide_is_the_prior_of_the_next_layer():
    below = Optimal(model(), 0.0)
    above = model(reward=lambda t, s, a, ahead: 0.0 * s.sum(-1)).with_prior(below)
    state = torch.tensor([0.7], dtype=torch.float64)
    assert torch.equal(above.action_prior(2, state).mean, below.policy(2, state).mean)
    own = Optimal(above, 0.0)  # the prior of this layer, where nothing is rewarded
    assert float(log_weights(above, own, 20, seed=0).abs().max()) < 1e-12


@pytest.mark.wrong_types
def test_the_next_layer_needs_a_policy():
    with pytest.raises(InvalidGuide, match="policy"):
        model().with_prior(lambda: None)


def test_it_says_what_it_is():
    assert (
        repr(model())
        == "ContinuousModel(ContinuousProblem(1 state and 1 action coordinates, horizon 6), temperature 1)"
    )
    assert repr(ledge().problem).endswith("horizon 16 and a final reward)")


def test_making_it_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    plane()
    assert torch.equal(torch.get_rng_state(), before)


REFUSED = {
    "no distribution": ({"dynamics": lambda t, s, a: s + a}, "`dynamics` must be or return a distribution of Pyro"),
    "a distribution of torch": (
        {"start": torch.distributions.Independent(torch.distributions.Normal(torch.zeros(2), 1.0), 1)},
        "`start` must be or return a distribution of Pyro",
    ),
    "no event": (
        {"dynamics": lambda t, s, a: dist.Normal(s + a, 0.5)},
        "`dynamics` must give a distribution over vectors.*to_event",
    ),
    "another size": (
        {"dynamics": lambda t, s, a: dist.Normal((s + a)[..., :1], 0.5).to_event(1)},
        "`dynamics` must give a distribution over vectors, with event shape",
    ),
    "the batch is lost": (
        {"dynamics": lambda t, s, a: dist.Normal((s + a).reshape(-1, 2)[0], 0.5).to_event(1)},
        "`dynamics` must give a distribution with the batch shape",
    ),
    "the batch is mixed": (
        {"dynamics": lambda t, s, a: dist.Normal(s + a + 0.1 * s.sum(0), 0.5).to_event(1)},
        "`dynamics` must treat the elements of a batch apart",
    ),
    "only for a batch": (
        {"dynamics": lambda t, s, a: dist.Normal(s + a * s[:, :1], 0.5).to_event(1)},
        "`dynamics` must take batches of vectors.*IndexError",
    ),
    "no reparameterised draws": (
        {"dynamics": lambda t, s, a: dist.Poisson((s + a).exp()).to_event(1)},
        "`dynamics` must give a distribution with reparameterised draws",
    ),
    "rewards by coordinate": (
        {"reward": lambda t, s, a, ahead: -ahead.square()},
        "`reward` must return one reward for each element of a batch.*Sum over the last axis",
    ),
    "one reward": ({"reward": lambda t, s, a, ahead: -ahead.square().sum()}, "`reward` must return one reward"),
    "an infinite reward": (
        {"reward": lambda t, s, a, ahead: torch.full_like(s[..., 0], -torch.inf)},
        "`reward` must return finite rewards.*large negative",
    ),
    "a late infinite reward": (
        {"reward": lambda t, s, a, ahead: s[..., 0] / (2 - t)},
        "`reward` must return finite rewards",
    ),
    "a plain number": ({"reward": lambda t, s, a, ahead: 0.0}, "`reward` must return a tensor of rewards"),
    "a mixed final reward": (
        {"final_reward": lambda s: s.sum(-1) - s.mean()},
        "`final_reward` must treat the elements of a batch apart",
    ),
    "a mixed prior": (
        {"action_prior": lambda t, s: dist.Normal(s + s.sum(0), 1.0).to_event(1)},
        "`action_prior` must treat the elements of a batch apart",
    ),
    "no prior": ({"action_prior": None}, "`action_prior` must be a distribution over vectors"),
    "a negative scale": (
        {"dynamics": lambda t, s, a: dist.Normal(s + a, 0.5 * float("nan"), validate_args=False).to_event(1)},
        "`dynamics` must draw finite vectors",
    ),
    "an argument too few": ({"reward": lambda s, a: s}, "`reward` must be a function that can be called with t, state"),
    "no horizon": ({"horizon": 0}, "`horizon` must be a whole number"),
    "temperature 0": ({"temperature": 0.0}, "`temperature` must be a positive number"),
    "dynamics that raise": (
        {"dynamics": lambda t, s, a: 1 / 0},
        "`dynamics` must take batches of vectors.*ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name):
    changed, message = REFUSED[name]
    with pytest.raises(PGMControlError, match=re.compile(message, re.DOTALL)):
        plane(**changed)


def test_the_start_must_be_one_vector():
    with pytest.raises(InvalidProblem, match="`start`"):
        plane(start=dist.Normal(torch.zeros(3, 2), 1.0).to_event(1))
