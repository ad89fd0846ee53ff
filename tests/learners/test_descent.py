"""`Descent` compared with torch's Adam."""

import pytest
import torch

from pgm_control.learners.descent import Descent


def losses(a, b):
    """A few losses of two parameters; the last depends on only one of them."""
    for i in range(20):
        yield ((a - i) ** 2).sum() + (a[0] * b).sin().sum()
    yield (b**3).sum()


def pair():
    return [torch.nn.Parameter(torch.tensor(each)) for each in ([1.0, -2.0], [[0.5], [3.0]])]


def test_its_steps_are_those_of_adam():
    mine, theirs = pair(), pair()
    descent, adam = Descent(mine, 0.05), torch.optim.Adam(theirs, lr=0.05)
    for one, other in zip(losses(*mine), losses(*theirs), strict=True):
        descent(one)
        adam.zero_grad()
        other.backward()
        adam.step()
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)
        assert [each.grad for each in mine] == [None, None]


def test_a_gradient_that_is_already_set_is_used():
    first, second = (torch.nn.Parameter(torch.zeros(())) for _ in range(2))
    second.grad = torch.tensor(-3.0)
    Descent([first, second], 1.0)(2 * first + 7 * second)
    assert (first.item(), second.item()) == pytest.approx((-1.0, 1.0))  # only the sign matters in Adam's first step
    assert first.grad is None
    assert second.grad is None


def test_a_restored_state_continues():
    whole, parted = pair(), pair()
    one, two, three = (Descent(each, 0.1) for each in (whole, parted, parted))
    for i, (a, b) in enumerate(zip(losses(*whole), losses(*parted), strict=True)):
        one(a)
        if i == 7:
            three.restore({name: [x.clone() for x in each] for name, each in two.state().items()})
        (two if i < 7 else three)(b)
    assert all(torch.equal(a, b) for a, b in zip(whole, parted, strict=True))


def test_its_rate_may_change():
    slow, fast = pair(), pair()
    descent = Descent(slow, 1.0)
    descent.rate = 0.25
    descent(slow[0].sum())
    Descent(fast, 1.0)(fast[0].sum())
    torch.testing.assert_close(4 * (slow[0] - pair()[0]), fast[0] - pair()[0], atol=1e-6, rtol=0)
