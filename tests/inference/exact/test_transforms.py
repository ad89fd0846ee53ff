"""Tests of `soft_values` inside the transforms of torch.func."""

from typing import Any

import pytest
import torch
from problems import random_mdp
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from pgm_control import InvalidArgument, InvalidProblem, Risk, TabularModel, infer, soft_values

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # by torch, in forward mode
NEAR = {"rtol": 1e-9, "atol": 1e-10}
MODEL = TabularModel(random_mdp(0, discount=0.9), 0.7)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objective(reward, logits, beta, temperature):
    p = logits.softmax(-1)
    return soft_values(MODEL, beta, reward=reward, probability=p, temperature=temperature).objective


ARGUMENTS = random(5, 3, 2, 3), random(5, 3, 2, 3, seed=1), random(5, seed=2) / 2, random(5, seed=3).exp()


def test_vmap_is_the_call_for_each():
    found = vmap(objective)(*ARGUMENTS)
    each = [objective(*(table[i] for table in ARGUMENTS)) for i in range(5)]
    torch.testing.assert_close(found, torch.stack(each), **NEAR)
    q = vmap(lambda reward: soft_values(MODEL, 1.0, reward=reward).q)(ARGUMENTS[0])
    torch.testing.assert_close(q, soft_values(MODEL, 1.0, reward=ARGUMENTS[0]).q, **NEAR)


def test_vmap_in_vmap_with_axes_of_its_own():
    rewards, betas = random(4, 2, 3, 2, 3), torch.linspace(-1, 1, 3, dtype=torch.float64)
    found = vmap(lambda r: vmap(lambda b: soft_values(MODEL, b, reward=r).objective)(betas), in_dims=0)(rewards)
    expected = soft_values(MODEL, betas[:, None], reward=rewards[:, None]).objective
    torch.testing.assert_close(found, expected, **NEAR)
    last = vmap(lambda r: soft_values(MODEL, 0.5, reward=r).objective, in_dims=-1)(random(3, 2, 3, 6))
    assert last.shape == (6,)


@pytest.mark.parametrize("argument", range(4))
def test_reverse_mode_equals_autograd(argument):
    one = [table[0].clone().requires_grad_() for table in ARGUMENTS]
    (expected,) = torch.autograd.grad(objective(*one), one[argument])
    plain = [each.detach() for each in one]
    torch.testing.assert_close(grad(objective, argnums=argument)(*plain), expected, **NEAR)
    torch.testing.assert_close(jacrev(objective, argnums=argument)(*plain), expected, **NEAR)
    torch.testing.assert_close(jacfwd(objective, argnums=argument)(*plain), expected, **NEAR)
    many = vmap(grad(objective, argnums=argument))(*ARGUMENTS)
    torch.testing.assert_close(many[0], expected, **NEAR)


def test_gradients_of_a_shared_table_are_those_of_each_setting():
    logits = ARGUMENTS[1][0]
    each = vmap(grad(objective, argnums=1), in_dims=(0, None, 0, None))(
        ARGUMENTS[0], logits, ARGUMENTS[2], ARGUMENTS[3][0]
    )
    for i in range(5):
        one = grad(objective, argnums=1)(ARGUMENTS[0][i], logits, ARGUMENTS[2][i], ARGUMENTS[3][0])
        torch.testing.assert_close(each[i], one, **NEAR)


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_second_derivatives_equal_those_of_autograd(beta):
    def of_logits(logits):
        return soft_values(MODEL, beta, probability=logits.softmax(-1)).objective

    logits = ARGUMENTS[1][0]
    expected = torch.autograd.functional.hessian(of_logits, logits)
    torch.testing.assert_close(hessian(of_logits)(logits), expected, **NEAR)
    torch.testing.assert_close(jacrev(jacrev(of_logits))(logits), expected, **NEAR)
    many = vmap(hessian(of_logits))(ARGUMENTS[1][:2])
    torch.testing.assert_close(many[0], expected, **NEAR)


def test_products_with_jacobians_of_all_values():
    def values(reward):
        found = soft_values(MODEL, Risk(0.3), reward=reward)
        return found.q, found.v, found.value

    reward, direction = ARGUMENTS[0][0], ARGUMENTS[0][1]
    tangents: Any = jvp(values, (reward,), (direction,))[1]
    expected = torch.autograd.functional.jvp(values, reward, direction)[1]
    for mine, reference in zip(tangents, expected, strict=True):
        torch.testing.assert_close(mine, reference, **NEAR)
    found, pull, *_ = vjp(values, reward)
    (slope,) = pull(tuple(torch.ones_like(each) for each in found))
    leaf = reward.clone().requires_grad_()
    total = torch.stack([each.sum() for each in values(leaf)]).sum()
    torch.testing.assert_close(slope, torch.autograd.grad(total, leaf)[0], **NEAR)


def test_a_network_of_dynamics_in_a_transform():
    network = torch.nn.Linear(2, 18, dtype=torch.float64)
    weights = {name: each.detach() for name, each in network.named_parameters()}

    def loss(weights, x):
        p = functional_call(network, weights, x).reshape(3, 2, 3).softmax(-1)
        return soft_values(MODEL, 1.0, probability=p).objective

    x = random(4, 2)
    found = vmap(grad(loss), in_dims=(None, 0))(weights, x)
    one = grad(loss)(weights, x[2])
    torch.testing.assert_close(found["weight"][2], one["weight"], **NEAR)


def test_a_value_that_no_transform_sees_may_be_computed_inside():
    found = grad(lambda x: (x * soft_values(MODEL, 1.0).objective).sum())(torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(found, soft_values(MODEL, 1.0).objective.expand(2), **NEAR)


@pytest.mark.wrong_types
def test_bad_values_are_refused_by_name_inside_a_transform():
    with pytest.raises(InvalidArgument, match="`probability` must hold probabilities"):
        vmap(lambda p: soft_values(MODEL, 1.0, probability=p).objective)(ARGUMENTS[1])
    with pytest.raises(InvalidArgument, match="`temperature` must be positive"):
        grad(lambda tau: soft_values(MODEL, 1.0, temperature=tau).objective)(torch.tensor(-1.0))
    with pytest.raises(InvalidArgument, match="`reward` must be a tensor"):
        vmap(lambda r: soft_values(MODEL, 1.0, reward=r).objective)(random(5, 2, 2))
    with pytest.raises(InvalidProblem, match=r"`probability` must hold numbers.*transform"):
        grad(lambda r: infer(TabularModel(MODEL.mdp.replace(reward=r)), 1.0).objective)(ARGUMENTS[0][0])
