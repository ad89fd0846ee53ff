"""`Adam` and `LBFGS` compared with torch's, whose code they share: the same bits, and exchangeable states."""

import copy
import functools
import pickle

import pytest
import torch

from pgm_control.inference.variational.optimisers import LBFGS, Adam

SETTINGS = {
    "default": {},
    "of fit": {"lr": 0.1, "betas": (0.9, 0.9), "fused": True},
    "amsgrad": {"amsgrad": True},
    "weight decay": {"weight_decay": 0.1},
    "fused, amsgrad, weight decay": {"fused": True, "amsgrad": True, "weight_decay": 0.1},
    "decoupled, maximised": {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True},
    "foreach": {"foreach": True, "eps": 1e-3},
    "tensor": {"lr": torch.tensor(0.05)},
}


def made(kind, settings):
    """Two parameters in groups of their own, and an optimiser."""
    generator = torch.Generator().manual_seed(0)
    pair = [torch.nn.Parameter(torch.randn(n, 3, dtype=torch.float64, generator=generator)) for n in (2, 4)]
    return pair, kind([{"params": pair[0]}, {"params": [pair[1]], "lr": 0.02}], **settings)


def loss_of(pair, optimiser, number):
    """A loss of which the second parameter has a gradient at every other step only."""
    optimiser.zero_grad()
    found = (pair[0] - 1).square().sum() + pair[0].pow(4).sum()
    if number % 2:
        found = found + (pair[1].sum() - pair[1][0, 0]).square()
    found.backward()
    return found.detach()


def moved(pair, optimiser, numbers):
    """The losses of steps with these numbers."""
    return [float(optimiser.step(functools.partial(loss_of, pair, optimiser, number))) for number in numbers]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_steps_and_states_have_the_bits_of_torch(settings):
    (mine, optimiser), (theirs, reference) = made(Adam, settings), made(torch.optim.Adam, settings)
    assert moved(mine, optimiser, range(50)) == moved(theirs, reference, range(50))
    assert same(mine, theirs)
    assert str(optimiser.state_dict()) == str(reference.state_dict())


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(("first", "then"), [(Adam, torch.optim.Adam), (torch.optim.Adam, Adam)])
def test_a_state_of_one_is_loaded_into_the_other(first, then, settings):
    whole, optimiser = made(first, settings)
    moved(whole, optimiser, range(25))
    half, resumed = made(then, {"lr": 3.0})
    with torch.no_grad():
        for mine, theirs in zip(half, whole, strict=True):
            mine.copy_(theirs)
    resumed.load_state_dict(pickle.loads(pickle.dumps(optimiser.state_dict())))
    assert moved(half, resumed, range(25, 50)) == moved(whole, optimiser, range(25, 50))
    assert same(half, whole)


@pytest.mark.parametrize("kind", [Adam, LBFGS])
def test_a_wrong_state_group_or_setting_is_refused_as_by_torch(kind):
    pair, optimiser = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)], None
    optimiser = kind([pair[0]])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimiser.load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match=r"more than one parameter group|doesn't support per-parameter options"):
        kind([{"params": pair}, {"params": pair[0]}])
    with pytest.raises(ValueError, match="empty parameter list"):
        kind([])


def test_hooks_schedulers_and_copies_work():
    weight, seen = torch.nn.Parameter(torch.ones(2)), []
    optimiser = Adam([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.5)
    optimiser.register_step_post_hook(lambda *_: seen.append("step"))
    optimiser.register_state_dict_pre_hook(lambda *_: seen.append("state"))
    weight.sum().backward()
    optimiser.step()
    schedule.step()
    assert seen == ["step"]
    assert optimiser.state_dict()["param_groups"][0]["lr"] == 0.05
    assert seen == ["step", "state"]
    for each in (copy.deepcopy(optimiser), pickle.loads(pickle.dumps(optimiser))):
        assert type(each) is Adam
        assert repr(each) == repr(optimiser)
    optimiser.zero_grad(set_to_none=False)
    assert not weight.grad.any()


def test_a_step_leaves_no_graph_and_keeps_the_mode_of_gradients():
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = Adam([weight])
    weight.sum().backward()
    optimiser.step()
    assert torch.is_grad_enabled()
    assert weight.is_leaf
    with torch.no_grad():
        optimiser.step()
        assert not torch.is_grad_enabled()


def test_lbfgs_has_the_bits_of_torch():
    def rosenbrock(weight, optimiser):
        optimiser.zero_grad()
        value = (1 - weight[0]) ** 2 + 100 * (weight[1] - weight[0] ** 2) ** 2
        value.backward()
        return value.detach()

    found = []
    for kind in (LBFGS, torch.optim.LBFGS):
        weight = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
        optimiser = kind([weight], max_iter=50, line_search_fn="strong_wolfe")
        optimiser.step(functools.partial(rosenbrock, weight, optimiser))
        found.append(weight.detach())
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], torch.ones(2, dtype=torch.float64), rtol=0.0, atol=1e-3)
