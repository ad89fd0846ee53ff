"""Conversion of logits to log-probabilities: it equals torch's log_softmax, with its derivatives."""

import importlib.util

import pytest
import torch

from pgm_control.chance.log_tables import row_error, tilted, untilted

has_numba = importlib.util.find_spec("numba") is not None
where = pytest.mark.parametrize("backend", ["torch", "auto"] if has_numba else ["torch"])


def table(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@where
@pytest.mark.parametrize("shape", [(4, 3, 2), (2, 5, 4, 3), (3, 700, 2, 1), (2, 3, 2, 9), (6,), (1, 3, 2)])
@pytest.mark.parametrize("once", [True, False])
def test_tilted_equals_log_softmax(backend, shape, once, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    logits = (10 * table(*shape)).requires_grad_()
    weight = torch.log_softmax(table(*shape, seed=1), -1)
    if shape[-1] > 2:
        weight[..., 1] = -torch.inf
    if once and len(shape) > 2:
        weight = weight[:1].expand(shape)
    found, expected = tilted(logits, weight), torch.log_softmax(weight + logits, -1)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
    cost = table(*shape, seed=2)
    ours, theirs = (torch.autograd.grad(each, logits, cost)[0] for each in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


@where
def test_second_derivatives_are_correct(backend, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    logits, weight = table(3, 2, 2, 3).requires_grad_(), table(3, 2, 2, 3, seed=1).log_softmax(-1)
    assert torch.autograd.gradcheck(lambda x: tilted(x, weight), logits)
    assert torch.autograd.gradgradcheck(lambda x: tilted(x, weight), logits)


@where
def test_nan_affects_only_its_row(backend, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    logits = table(3, 2, 4)
    logits[1, 0, 2] = torch.nan
    found = tilted(logits, torch.zeros_like(logits))
    assert found[1, 0].isnan().all()
    assert found.isnan().sum() == 4


@where
def test_logits_may_have_any_memory_order(backend, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    logits, weight = table(3, 4, 2).transpose(0, 2), table(2, 4, 3, seed=1).log_softmax(-1)
    torch.testing.assert_close(tilted(logits, weight), torch.log_softmax(weight + logits, -1))


@where
@pytest.mark.parametrize("shape", [(4, 3, 2), (2, 300, 4, 3), (6,), (1, 3, 2)])
@pytest.mark.parametrize("once", [True, False])
def test_untilted_is_the_inverse_and_sees_mass_outside(backend, shape, once, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    logits, weight = table(*shape), torch.log_softmax(table(*shape, seed=1), -1)
    weight[..., 1] = -torch.inf
    logits[..., 0] = -1e3
    if once and len(shape) > 2:
        weight = weight[:1].expand(shape)
    found, outside = untilted(torch.log_softmax(logits + weight, -1), weight)
    assert not outside
    assert (found[..., 1] == 0).all()
    torch.testing.assert_close(torch.log_softmax(found + weight, -1), torch.log_softmax(logits + weight, -1))
    assert untilted(torch.log_softmax(logits, -1), weight)[1]


@where
def test_row_error_is_the_largest_and_sees_nan(backend, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    rows = torch.log_softmax(table(3, 200, 4), -1)
    assert row_error(rows) < 1e-15
    assert row_error(rows[:1].expand(5, 200, 4)) < 1e-15
    for place in ((0, 0, 0), (1, 70, 2), (2, 199, 3)):
        wrong = rows.clone()
        wrong[place] += 0.1
        assert row_error(wrong) == pytest.approx(0.1 * rows[place].exp().item(), rel=0.06)
        wrong[place] = torch.inf
        assert row_error(wrong) > 1e100
        wrong[place] = torch.nan
        assert not row_error(wrong) <= 1.0
