"""Dynamics learned from transitions: against the generator, the best likelihood, and least squares."""

import math

import pytest
import torch

from pgm_control.errors import InvalidArgument
from pgm_control.networks.learned_dynamics import DynamicsStatus, learn_dynamics
from pgm_control.trajectories.gaussian.blocks import ContinuousTrajectories


def linear(count, seed=0):
    """Transitions of s' = (.9 s_0 + .5 a, s_1 + .2 s_0) + noise of deviations (.3, .1)."""
    draw = torch.Generator().manual_seed(seed)
    s, a = 3 * torch.randn(count, 2, generator=draw).double(), torch.randn(count, 1, generator=draw).double()
    mean = torch.stack((0.9 * s[:, 0] + 0.5 * a[:, 0], s[:, 1] + 0.2 * s[:, 0]), -1)
    noise = torch.tensor([0.3, 0.1]) * torch.randn(count, 2, generator=draw)
    return s, a, mean + noise.double()


def curved(count, seed=0):
    """Transitions of s' = s + sin 2a + w, where the deviation of w is .1 + .3 |a|."""
    draw = torch.Generator().manual_seed(seed)
    s, a, w = (torch.randn(count, 1, generator=draw).double() for _ in range(3))
    return s, a, s + (2 * a).sin() + (0.1 + 0.3 * a.abs()) * w


def test_linear_dynamics_are_found():
    found = learn_dynamics(*linear(2000), seed=0)
    assert found.status is DynamicsStatus.converged
    state = torch.tensor([[1.0, 0.0], [-2.0, 3.0]], dtype=torch.float64)
    step = found(0, state, torch.tensor([[0.5], [-1.0]], dtype=torch.float64))
    assert torch.allclose(step.mean, torch.tensor([[1.15, 0.2], [-2.3, 2.6]], dtype=torch.float64), atol=0.06)
    assert torch.allclose(step.stddev, torch.tensor([0.3, 0.1], dtype=torch.float64).expand(2, 2), rtol=0.1)
    best = -sum(math.log(each) + 0.5 * math.log(2 * math.pi) + 0.5 for each in (0.3, 0.1))
    assert found.held_out_log_likelihood.tolist() == pytest.approx([best], abs=0.15)
    assert "converged" in repr(found)


def test_linear_dynamics_mostly_stay_linear():
    """The network is kept only where it is better by more than chance."""
    straight = 0
    for seed in range(10):
        found = learn_dynamics(*linear(400, seed), seed=seed)
        x, y, zero = torch.tensor([[[3.0, -2.0]], [[-1.0, 4.0]], [[0.0, 0.0]]], dtype=torch.float64)
        rest = torch.zeros(1, 1, dtype=torch.float64)
        one, other, both, at = (found(0, each, rest).mean for each in (x, y, x + y, zero))
        straight += torch.allclose(one + other, both + at, atol=1e-9)
    assert straight >= 8


def test_a_network_finds_what_a_line_does_not():
    data = curved(3000)
    found, line = (learn_dynamics(*data, hidden=hidden, seed=0) for hidden in ((32, 32), ()))
    fresh = curved(4000, seed=1)
    one, other = (float(each(0, *fresh[:2]).log_prob(fresh[2]).mean()) for each in (found, line))
    w = fresh[2] - fresh[0] - (2 * fresh[1]).sin()
    spread = 0.1 + 0.3 * fresh[1].abs()
    best = float(torch.distributions.Normal(0.0, spread).log_prob(w).mean())
    assert best - 0.08 < one <= best + 0.02
    assert one > other + 0.3


def test_members_differ_and_are_taken_one_for_each_element():
    found = learn_dynamics(*curved(300), ensemble_size=3, hidden=(16,), num_epochs=10, seed=0)
    state, action = torch.randn(3, 1).double(), torch.randn(3, 1).double()
    apart = [found.given(torch.tensor(k))(0, state, action) for k in range(3)]
    assert float((apart[0].mean - apart[1].mean).abs().min()) > 1e-4
    together = found.given(torch.arange(3))(0, state, action)
    for k in range(3):
        assert torch.allclose(together.mean[k], apart[k].mean[k])
        assert torch.allclose(together.stddev[k], apart[k].stddev[k])
    x = torch.randn(3, 1).double()
    mixed = torch.stack([each.log_prob(x) for each in apart]).logsumexp(0) - math.log(3)
    assert torch.allclose(found(0, state, action).log_prob(x), mixed)
    assert found.held_out_log_likelihood.shape == (3,)
    mapped = torch.func.vmap(lambda k, s, a: found.given(k)(0, s, a).mean)(torch.arange(3), state, action)
    assert torch.allclose(mapped, together.mean)


def test_a_seed_repeats_it_and_the_global_generator_stays():
    before = torch.get_rng_state()
    one, two, other = (
        learn_dynamics(*curved(100), ensemble_size=2, hidden=(8,), num_epochs=5, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    at = torch.ones(1).double(), torch.ones(1).double()
    assert torch.equal(one(0, *at).mean, two(0, *at).mean)
    assert not torch.equal(one(0, *at).mean, other(0, *at).mean)


def test_the_status_says_when_it_was_cut_short():
    assert learn_dynamics(*curved(500), num_epochs=3, seed=0).status is DynamicsStatus.out_of_steps
    broken = learn_dynamics(*curved(500), learning_rate=1e6, seed=0)
    assert bool(broken.held_out_log_likelihood.isfinite().all())


def test_a_coordinate_that_never_changes_is_taken():
    s, a, ahead = curved(200)
    fixed = torch.ones_like(s)
    found = learn_dynamics(torch.cat((s, fixed), -1), a, torch.cat((ahead, fixed), -1), num_epochs=3, seed=0)
    assert bool(found(0, torch.ones(2).double(), torch.ones(1).double()).mean.isfinite().all())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"next_states": torch.zeros(30, 2)}, "`next_states` must have the shape of `states`"),
        ({"actions": torch.zeros(29, 1)}, "`actions` must have one finite row"),
        ({"states": torch.zeros(30)}, "`states` must have one finite row"),
        ({"actions": torch.full((30, 1), torch.nan)}, "`actions` must have one finite row.*not finite"),
        ({"ensemble_size": 0}, "`ensemble_size`"),
        ({"held_out": 0.9}, "`held_out` must be at most half"),
        ({"held_out": 0.0}, "`held_out`"),
        ({"learning_rate": -1.0}, "`learning_rate`"),
        ({"hidden": (0,)}, "`hidden"),
        ({"patience": 0}, "`patience`"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    s, a, ahead = curved(30)
    given = {"states": s, "actions": a, "next_states": ahead, "seed": 0, "num_epochs": 2, **changed}
    with pytest.raises(InvalidArgument, match=message):
        learn_dynamics(**given)


def test_there_must_be_transitions():
    with pytest.raises(InvalidArgument, match="at least 10 rows, but has 5"):
        learn_dynamics(*curved(5))


def test_trajectories_are_taken_apart():
    """Two trajectories of ten steps are the same as their twenty transitions."""
    draw = torch.Generator().manual_seed(0)
    path = ContinuousTrajectories(
        torch.randn(2, 11, 2, generator=draw).double(), torch.randn(2, 10, 1, generator=draw).double()
    )
    rows = [
        torch.cat([path.states[i, :-1] for i in (0, 1)]),
        torch.cat([path.actions[i] for i in (0, 1)]),
        torch.cat([path.states[i, 1:] for i in (0, 1)]),
    ]
    found, due = learn_dynamics(path, seed=0, num_epochs=3), learn_dynamics(*rows, seed=0, num_epochs=3)
    assert found.held_out_log_likelihood.tolist() == due.held_out_log_likelihood.tolist()
    with pytest.raises(InvalidArgument, match="`actions` and `next_states` must be None beside"):
        learn_dynamics(path, rows[1])
    with pytest.raises(InvalidArgument, match="`states` must be ContinuousTrajectories with states"):
        learn_dynamics(ContinuousTrajectories(path.states[:, 1:], path.actions))
