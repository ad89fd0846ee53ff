"""Tensors are made where the tables lie: on a device that is pretended, for there is no GPU in these tests.

What computes on the CPU only says so by name. The table of docs/howto/gpu.md says the same.
"""

import pyro.distributions as dist
import pytest
import torch
from linear_quadratics import random_model
from pretended_device import PRETENDED, Mixed, pretended
from problems import random_mdp
from pyro.infer import Trace_ELBO

import pgm_control as pc
from pgm_control import InvalidArgument, InvalidProblem, TabularModel
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning
from pgm_control.planners import CEM, MPPI, SMCPlanner
from pgm_control.trajectories.gaussian.riccati import backward_sweep, prepared


@pytest.fixture
def place():
    with pretended() as found:
        yield found


def model():
    return TabularModel(random_mdp(seed=1, horizon=4), 0.5).to(PRETENDED)


def with_guide(kind):
    there = model()
    return there, kind(there).to(PRETENDED)


def test_a_tensor_made_on_the_cpu_is_an_error_beside_one_on_the_device(place):
    here, there = torch.ones(3), torch.ones(3).to(PRETENDED)
    assert (place(here).type, place(there), there.device) == ("cpu", PRETENDED, PRETENDED)
    for mixed in (
        lambda: here + there,
        lambda: torch.where(there > 0, here, there),
        lambda: torch.cat((there, here)),
        lambda: there @ torch.eye(3),
        lambda: there.numpy(),
        lambda: here[there > 0],
    ):
        with pytest.raises(Mixed):
            mixed()
    for fine in (there + 1.0, there * torch.tensor(2.0), there[torch.tensor([0, 1])], there.new_zeros(3) + there):
        assert place(fine) == PRETENDED
    assert place(there.cpu() + here).type == "cpu"
    leaf = there.clone().requires_grad_()
    (slope,) = torch.autograd.grad((leaf**2).sum(), leaf)
    assert place(torch.zeros(3, device=slope.device) + leaf).type in ("cpu", PRETENDED.type)


@pytest.mark.parametrize("optimism", [0.0, 1.0, 0.3, -1.0])
def test_exact_inference_stays_on_the_device(place, optimism):
    there = model()
    found = pc.infer(there, optimism)
    assert place(found.policy) == PRETENDED
    pc.evaluate(there, found)
    reward = there.mdp.reward.clone().requires_grad_()
    values = pc.soft_values(there, optimism, reward=reward)
    torch.autograd.grad(values.objective.sum() + values.v[0].sum(), reward)
    assert place(values.v) == PRETENDED


def test_a_batch_of_settings_stays_on_the_device(place):
    there = model()
    optimism = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, device=PRETENDED)
    temperature = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, device=PRETENDED).requires_grad_()
    found = pc.soft_values(there, optimism, temperature=temperature).objective
    torch.autograd.grad(found.sum(), temperature)
    assert place(found) == PRETENDED


@pytest.mark.parametrize("method", ["value_iteration", "gauss_seidel", "modified_policy_iteration", "anderson"])
def test_problems_without_a_horizon_are_solved_on_the_device(place, method):
    endless = TabularModel(model().mdp.replace(discount=0.9), 0.5)
    assert place(pc.value_iteration(endless, 0.5, method=method).v) == PRETENDED


@pytest.mark.parametrize(
    "kind",
    [
        pc.FreeGuide, pc.ClampedGuide, pc.MeanFieldGuide, pc.NeuralGuide, pc.OptionGuide, pc.LatentPolicyGuide,
        pc.LowRankGuide, pc.OpenLoopGuide, pc.StationaryGuide,
    ],
)  # fmt: skip
def test_guides_are_fitted_on_the_device(place, kind):
    there, guide = with_guide(kind)
    pc.fit(there, guide, num_steps=2)
    assert all(place(each) == PRETENDED for each in guide.parameters())
    if hasattr(guide, "blocks"):
        pc.ledger(there, guide)


@pytest.mark.parametrize("settings", [{"method": "em"}, {"method": "forward"}, {"loss": Trace_ELBO()}])
def test_other_methods_of_fit_stay_on_the_device(place, settings):
    pc.fit(*with_guide(pc.NeuralGuide), num_steps=2, **settings)


@pytest.mark.parametrize("method", ["exact", "natural_gradient"])
def test_assignable_guides_are_fitted_on_the_device(place, method):
    pc.fit(*with_guide(pc.FreeGuide), num_steps=2, method=method)


def test_samples_are_drawn_on_the_device(place):
    there, guide = with_guide(pc.ClampedGuide)
    assert place(pc.smc(there, guide, 10).log_weights) == PRETENDED
    pc.estimate(there, guide, 10)
    assert place(pc.log_weights(there, guide, 10)) == PRETENDED


@pytest.mark.parametrize("env", ["pgm_control/RiskyPath-v0", "Pendulum-v1"])
@pytest.mark.parametrize("kind", [SAC, OriginalSAC, SoftQLearning, MaxEntPolicyGradient])
def test_learners_update_on_the_device(place, kind, env):
    if kind is OriginalSAC and env != "Pendulum-v1":
        pytest.skip("for boxes")
    own = {} if kind is MaxEntPolicyGradient else {"learning_starts": 10, "batch_size": 8}
    learner = kind(env, hidden=(8,), device=str(PRETENDED), seed=None, **own)
    learner.learn(30)
    networks = [part for part in learner.parts().values() if isinstance(part, torch.nn.Module)]
    assert networks
    assert all(place(each) == PRETENDED for network in networks for each in network.parameters())


def test_the_linear_quadratic_recursion_stays_on_the_device(place):
    given = prepared(random_model(seed=3))
    moved = given._make(each.to(PRETENDED) if isinstance(each, torch.Tensor) else each for each in given)
    hessian = moved.hessian.clone().requires_grad_()
    theta = torch.full(given.final_constant.shape, 0.01, dtype=torch.float64)
    found = backward_sweep(moved._replace(hessian=hessian), theta.to(PRETENDED))
    assert place(found.P) == PRETENDED
    torch.autograd.grad(found.v.sum(), hessian)
    torch.testing.assert_close(found.v.detach().cpu(), backward_sweep(given, theta).v)


def test_continuous_problems_refuse_tables_on_the_device_by_name(place):
    eye = torch.eye(2, dtype=torch.float64)
    for name in ("A", "W", "initial_mean"):
        given = {"A": eye, "B": eye, "W": eye, "C": torch.eye(4).double(), "initial_mean": torch.zeros(2).double()}
        given[name] = given[name].to(PRETENDED)
        with pytest.raises(InvalidProblem, match=rf"`{name}` must lie on the CPU, but lies on xpu:0"):
            pc.LinearQuadratic(**given, horizon=3)


@pytest.mark.parametrize("kind", [MPPI, CEM, SMCPlanner])
def test_planners_refuse_models_on_the_device_by_name(place, kind):
    like = torch.zeros(1, dtype=torch.float64, device=PRETENDED)
    vectors = pc.ContinuousModel(
        lambda: dist.Normal(like, 1.0).to_event(1),
        lambda t, s, a: dist.Normal(s + a, 0.1).to_event(1),
        lambda t, s, a, s_next: -(s**2).sum(-1),
        horizon=3,
        action_prior=lambda t, s: dist.Normal(torch.zeros_like(s), 1.0).to_event(1),
    )
    for each in (model(), vectors):
        with pytest.raises(InvalidArgument, match="`model` must lie on the CPU for a planner"):
            kind(each)
