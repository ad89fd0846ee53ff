"""Several copies of a network agree with torch's own layers, one network after the other."""

import itertools

import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given
from hypothesis import strategies as st
from pyro.ops.provenance import get_provenance, track_provenance

from pgm_control.environments.action_prior import ActionPrior
from pgm_control.environments.spaces import Actions, Observations
from pgm_control.learners.losses.soft_policy_loss import SoftPolicyLoss
from pgm_control.networks.mlp import Network, follow
from pgm_control.networks.policies import BoxPolicy
from pgm_control.networks.precision import products_in
from tests.strategies import laws

SHORT = products_in("bfloat16")


def by_layers(network, copy, x):
    """The outputs of one copy, computed with `torch.nn.Linear`, and all its parameters, weights first."""
    layers = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        layer = torch.nn.Linear(weight.shape[2], weight.shape[1], dtype=x.dtype)
        layer.load_state_dict({"weight": weight[copy], "bias": bias[copy, :, 0]})
        layers.append(layer)
    for layer in layers[:-1]:
        x = layer(x).relu()
    return layers[-1](x), [each.weight for each in layers] + [each.bias for each in layers]


def made(copies, sizes, seed=0):
    torch.manual_seed(seed)
    network = Network(sizes[0], sizes[-1], sizes[1:-1], copies).double()
    with torch.no_grad():
        network.flat.normal_(std=0.5)
    return network


layers = st.lists(st.integers(1, 40), min_size=2, max_size=4).map(tuple)


@laws
@given(st.integers(1, 3), layers, st.integers(1, 50), st.integers(0, 99))
def test_values_and_gradients_agree_with_the_layers_of_torch(copies, sizes, batch, seed):
    network = made(copies, sizes, seed)
    x = torch.randn(batch, sizes[0], dtype=torch.float64, requires_grad=True)
    outer = torch.randn(copies, batch, sizes[-1], dtype=torch.float64)
    to_x, to_flat = torch.autograd.grad((network(x) * outer).sum(), (x, network.flat))
    weights, biases = network._shape.split(to_flat)
    expected = torch.zeros_like(x)
    for copy in range(copies):
        y, parameters = by_layers(network, copy, x)
        torch.testing.assert_close(network(x)[copy], y)
        by_x, *others = torch.autograd.grad((y * outer[copy]).sum(), [x, *parameters])
        expected += by_x
        for mine, other in zip((*weights, *(each[..., 0] for each in biases)), others, strict=True):
            torch.testing.assert_close(mine[copy], other)
    torch.testing.assert_close(to_x, expected)


def test_each_copy_may_have_its_own_input():
    network = made(2, (3, 5, 2))
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    for copy in range(2):
        torch.testing.assert_close(network(x)[copy], by_layers(network, copy, x[copy])[0])


def test_frozen_gives_gradients_to_the_input_alone():
    network, x = made(2, (3, 8, 1)), torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    frozen, free = network(x, frozen=True), network(x)
    torch.testing.assert_close(frozen, free)
    frozen.sum().backward()
    assert network.flat.grad is None
    torch.testing.assert_close(x.grad, torch.autograd.grad(free.sum(), x)[0])


def test_weights_are_views_of_the_parameters():
    network, x = Network(2, 1, ()).requires_grad_(False), torch.ones(1, 2)
    assert float(network(x)) == 0  # a table starts at zero
    network.weights[0].fill_(2.0)
    network.biases[0].fill_(0.5)
    assert float(network(x)) == 4.5
    state = {name: each + 1 for name, each in network.state_dict().items()}
    network.load_state_dict(state)
    assert float(network(x)) == 7.5
    network.double()  # the memory has changed
    assert float(network(x.double())) == 7.5
    network.weights[0].zero_()
    assert float(network(x.double())) == 1.5


def test_layers_are_initialised_within_the_bounds_of_torch():
    network = Network(16, 4, (64,), copies=2)
    for values, inputs in zip((*network.weights, *network.biases), (16, 64, 16, 64), strict=True):
        assert 0.9 * inputs**-0.5 < float(values.abs().max()) <= inputs**-0.5


def test_follow_moves_by_the_rate():
    target, source = made(2, (3, 4, 1)), made(2, (3, 4, 1), seed=1)
    expected = 0.9 * target.flat.detach() + 0.1 * source.flat.detach()
    follow(target, source, 0.1)
    torch.testing.assert_close(target.flat.detach(), expected)


@pytest.mark.parametrize("copies", [1, 2])
def test_short_products_are_close_and_everything_else_stays_float32(copies):
    """Products of three digits are accurate to 1 % in values, and less so in gradients, because rectifiers switch."""
    torch.manual_seed(0)
    network = Network(40, 3, (128, 64), copies)
    x = torch.randn(200, 40, requires_grad=True)
    outer = torch.randn(copies, 200, 3)
    exact = network(x)
    with SHORT():
        short = network(x)
    assert short.dtype == torch.float32
    assert not torch.equal(short, exact)
    for mine, other in zip(
        (short, *torch.autograd.grad((short * outer).sum(), (x, network.flat))),
        (exact, *torch.autograd.grad((exact * outer).sum(), (x, network.flat))),
        strict=True,
    ):
        assert mine.dtype == torch.float32
        off = (mine - other).norm() / other.norm()
        assert float(off.detach()) < (0.01 if mine is short else 0.15)


def test_the_backward_pass_does_not_depend_on_the_current_precision():
    """A learner computes gradients inside the context, which must not shorten the thin products of that pass."""
    torch.manual_seed(0)
    network, x = Network(3, 1, (64, 64), copies=2), torch.randn(50, 3, requires_grad=True)
    with SHORT():
        y, frozen = network(x).square().sum(), network(x, frozen=True).amin(0).sum()
        within = (*torch.autograd.grad(y, (x, network.flat), retain_graph=True), *torch.autograd.grad(frozen, x))
        frozen = network(x, frozen=True).amin(0).sum()
    outside = (*torch.autograd.grad(y, (x, network.flat)), *torch.autograd.grad(frozen, x))
    for mine, other in zip(within, outside, strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, other)


@pytest.mark.parametrize("copies", [1, 2])
def test_short_products_agree_with_rounded_layers_of_torch(copies):
    """Factors and products are rounded to bfloat16; biases, rectifiers and thin layers are in float32."""

    def short(x):
        return x + (x.detach().bfloat16().float() - x.detach())  # whose gradient is that of x

    torch.manual_seed(0)
    network, x = Network(3, 1, (64, 64), copies), torch.randn(50, 3, requires_grad=True)
    found = torch.zeros(copies, 50, 1)
    weights, biases = ([each.clone().requires_grad_() for each in kind] for kind in (network.weights, network.biases))
    for copy in range(copies):
        h = (x @ weights[0][copy].T + biases[0][copy].T).relu()
        h = (short(short(h) @ short(weights[1][copy]).T) + biases[1][copy].T).relu()
        found[copy] = h @ weights[2][copy].T + biases[2][copy].T
    expected = torch.autograd.grad(found.square().sum(), (x, *weights, *biases))
    with SHORT():
        y = network(x)
    torch.testing.assert_close(y, found, atol=1e-4, rtol=1e-4)
    to_x, to_flat = torch.autograd.grad(y.square().sum(), (x, network.flat))
    whole = itertools.chain(*network._shape.split(to_flat))
    for mine, other in zip((to_x, *whole), expected, strict=True):
        assert float((mine - other).norm() / other.norm()) < 0.01  # slopes are rounded too


def test_provenance_tracking_of_pyro_passes_through_a_network():
    """Pyro's provenance tracking wraps tensors; the gradient of the parameters must not be lost."""
    network, x = made(2, (3, 4, 1)), torch.randn(5, 3, dtype=torch.float64)
    y = network(track_provenance(x, frozenset({"site"})))
    assert get_provenance(y) == {"site"}
    (found,) = torch.autograd.grad(y.sum(), network.flat)
    torch.testing.assert_close(found, torch.autograd.grad(network(x).sum(), network.flat)[0])


def test_the_autocast_of_torch_has_no_effect():
    """It would shorten some products and not others. Torch's own rule is that the backward pass is outside of it."""
    network, x = Network(3, 1, (64, 64), copies=2), torch.randn(50, 3, requires_grad=True)
    exact = network(x)
    expected = torch.autograd.grad(exact.square().sum(), (x, network.flat))
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    found = torch.autograd.grad(y.square().sum(), (x, network.flat))
    torch.testing.assert_close((y, *found), (exact, *expected), atol=0, rtol=0)


def test_thin_layers_are_exact_in_any_precision():
    network, x = Network(4, 1, (16,), copies=2), torch.randn(5, 4)
    with SHORT():
        assert torch.equal(network(x), network(x.clone()))
        short = network(x)
    assert torch.equal(short, network(x))


@pytest.mark.parametrize("agree", [False, True])
def test_the_loss_of_a_policy_in_a_box_has_the_gradients_of_autograd(agree):
    """−V̂ of samples passes through the smaller of two critics; where they are equal, through both equally."""
    torch.manual_seed(0)
    features = torch.randn(30, 2)
    policy = BoxPolicy(2, 1, (8,))
    critics = Network(3, 1, (8,), copies=2)
    if agree:
        for each in (*critics.weights, *critics.biases):
            each[1] = each[0]
    actions = Actions(Box(-1.0, 1.0, (1,)))
    loss = SoftPolicyLoss(
        policy, ActionPrior(None, actions, Observations(Box(-1.0, 1.0, (2,))), torch.device("cpu")), False
    )
    torch.manual_seed(1)
    found = torch.autograd.grad(loss(critics, features, 0.3)[0].sum(), policy.network.flat)
    torch.manual_seed(1)
    action, log_prob = policy(features).rsample_with_log_prob()
    q = torch.stack([by_layers(critics, i, torch.cat((features, action), -1))[0] for i in range(2)]).amin(0)[:, 0]
    expected = torch.autograd.grad((0.3 * (log_prob + torch.log(torch.tensor(2.0))) - q).sum(), policy.network.flat)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
