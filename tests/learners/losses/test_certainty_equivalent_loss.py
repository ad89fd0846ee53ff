"""The certainty-equivalent loss: its minimiser is the certainty equivalent, without bias, and it stays finite."""

import itertools
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given
from strategies import laws, rewards, temperatures

from pgm_control import InvalidArgument, Risk
from pgm_control.learners.losses.certainty_equivalent_loss import CertaintyEquivalentLoss

dials = st.sampled_from([-2.0, -1.0, -0.3, 0.3, 1.0, 2.0])


@st.composite
def values_and_weights(draw):
    """All outcomes of a small random event in proportion to their probability: the mean over this batch is exact."""
    return torch.as_tensor(draw(st.lists(rewards, min_size=1, max_size=5)), dtype=torch.float64)


def equivalent(y, temperature, optimism):
    """(τ/β) log mean exp(β y/τ) in plain Python; the mean at β = 0."""
    y = y.tolist()
    if optimism == 0:
        return sum(y) / len(y)
    top = max(optimism * each / temperature for each in y)
    mean = sum(math.exp(optimism * each / temperature - top) for each in y) / len(y)
    return temperature / optimism * (math.log(mean) + top)


def lagging(temperature, optimism, m, cap=5.0):
    """A loss after its first batch, with this normaliser."""
    loss = CertaintyEquivalentLoss(temperature, optimism, cap=cap)
    loss.normaliser.fill_(m)
    loss.seen.fill_(1)
    return loss


def slope(loss, q, y):
    """The gradient at Q times the batch size."""
    q = torch.as_tensor(q, dtype=y.dtype).expand(y.shape).clone().requires_grad_()
    loss(q, y).backward()
    assert q.grad is not None
    return q.grad * y.shape[-1]


# The minimiser


@laws
@given(values_and_weights(), temperatures, dials)
def test_with_a_risk_the_loss_is_the_same_at_every_temperature(y, temperature, theta):
    q = torch.zeros_like(y)
    for tau in (temperature, 0.0):
        assert CertaintyEquivalentLoss(tau, Risk(theta))(q, y) == CertaintyEquivalentLoss(1.0, theta)(q, y)


@laws
@given(values_and_weights(), temperatures, dials, st.floats(0.0, 3.0))
def test_the_expected_gradient_vanishes_at_the_certainty_equivalent(y, temperature, optimism, m):
    best = equivalent(y, temperature, optimism)
    assume(float((optimism * (y - best) / temperature).max()) < 5)  # no sample beyond the cap
    at = slope(lagging(temperature, optimism, m), best, y)
    assert abs(float(at.sum())) < 1e-6 * (1 + float(at.abs().sum()))
    for away, sign in ((0.1, 1), (-0.1, -1)):
        assert sign * float(slope(lagging(temperature, optimism, m), best + away, y).sum()) > 0


@laws
@given(values_and_weights(), temperatures, dials, st.floats(-3.0, 3.0), st.floats(0.0, 3.0))
def test_the_gradient_is_the_derivative_of_the_value(y, temperature, optimism, q, m):
    def value(at):
        return float(lagging(temperature, optimism, m)(torch.full_like(y, at), y))

    step = 1e-5 * temperature
    found = float(slope(lagging(temperature, optimism, m), q, y).mean())
    scale = temperature / abs(optimism) * math.exp(5)
    assert (value(q + step) - value(q - step)) / (2 * step) == pytest.approx(found, rel=1e-4, abs=1e-6 * scale)


@pytest.mark.parametrize("optimism", [-1.0, -0.3, 0.0, 0.3, 1.0])
@pytest.mark.statistical
def test_a_table_learns_the_certainty_equivalents_of_events_from_samples(optimism):
    """Stochastic gradient descent with averaged iterates. The standard error, measured over 20 seeds, is .013 at most,
    and the bias within it. False alarm: 3e-5 in all."""
    torch.manual_seed(1)
    y = torch.randint(-20, 21, (8, 4)) / 10
    weight = torch.rand(8, 4).softmax(-1)
    y[0], weight[1] = y[0, 0], torch.tensor([0.97, 0.01, 0.01, 0.01])  # a certain outcome, a rare outcome
    table = torch.zeros(8, requires_grad=True)
    loss, average, count = CertaintyEquivalentLoss(1.0, optimism), torch.zeros(8), 0
    descent = torch.optim.SGD([table], lr=2.0)
    for step in range(1500):
        row = torch.randint(8, (256,))
        drawn = torch.multinomial(weight[row], 1)
        descent.zero_grad()
        loss(table[row], y[row].gather(1, drawn)[:, 0]).backward()
        descent.step()
        if step >= 300:
            average, count = average + table.detach(), count + 1
    exact = (weight.log() + optimism * y).logsumexp(-1) / optimism if optimism else (weight * y).sum(-1)
    torch.testing.assert_close(average / count, exact, atol=0.065, rtol=0)


# Near 0


@laws
@given(values_and_weights(), temperatures, st.floats(-3.0, 3.0))
def test_at_zero_it_is_the_squared_loss(y, temperature, q):
    plain = 0.5 * (y - q).square().mean()
    loss = CertaintyEquivalentLoss(temperature, 0.0)
    assert float(loss(torch.full_like(y, q), y)) == float(plain)
    assert float(loss.seen) == 0
    for optimism in (1e-9, -1e-9):
        near = CertaintyEquivalentLoss(temperature, optimism)
        assert float(near(torch.full_like(y, q), y)) == pytest.approx(float(plain), rel=1e-5, abs=1e-12)
        torch.testing.assert_close(slope(near, q, y), q - y, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("optimism", [1e-2, -1e-4, 1e-6, -1e-8])
def test_the_gradient_is_accurate_in_float32(optimism):
    """A literal exp(u) − 1 would lose all digits here."""
    y = torch.linspace(-3, 3, 13)
    loss = lagging(1.0, optimism, 0.0)
    exact = [-math.expm1(optimism * each) / optimism for each in y.tolist()]
    torch.testing.assert_close(slope(loss, 0.0, y), torch.tensor(exact), rtol=1e-6, atol=0)
    exact = [each**2 / 2 + optimism * each**3 / 6 + optimism**2 * each**4 / 24 for each in y.tolist()]
    assert float(lagging(1.0, optimism, 0.0)(torch.zeros(13), y)) == pytest.approx(sum(exact) / 13, rel=2e-6)


# The normaliser


def expected(gradient, chance, number):
    """The exact mean of a gradient over all batches of coins that are 1 with this probability, else 0."""
    total = 0.0
    for coins in itertools.product((0.0, 1.0), repeat=number):
        probability = math.prod(chance if each else 1 - chance for each in coins)
        total += probability * gradient(torch.tensor(coins, dtype=torch.float64))
    return total


def test_a_maximum_over_the_same_batch_is_biased_but_the_running_maximum_is_not():
    """A coin has reward 3 with probability .2; β = τ = 1 and batches of 4.

    L = log(.8 + .2 e³) = 1.572, but the maximum over the same batch converges to .533, even below the mean of .6.
    """
    chance, pay, number = 0.2, 3.0, 4
    best = math.log(1 - chance + chance * math.exp(pay))

    def of_same_batch(q):
        def gradient(coins):
            u = pay * coins - q
            m = u.amax().clamp(min=0)
            return -float(((u - m).exp() - (-m).exp()).mean())

        return expected(gradient, chance, number)

    assert of_same_batch(best) > 0.05  # pushes Q down, away from L
    low, high = -1.0, best
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if of_same_batch(middle) > 0 else (middle, high)
    assert low == pytest.approx(0.533, abs=0.001)

    def ours(first):
        """The gradient of a second batch after any first one."""

        def after(coins):
            loss = lagging(1.0, 1.0, 0.7)
            loss(torch.full((number,), best, dtype=torch.float64), pay * first)
            return float(slope(loss, best, pay * coins).mean())

        return expected(after, chance, number)

    for first in itertools.product((0.0, 1.0), repeat=number):
        assert ours(torch.tensor(first, dtype=torch.float64)) == pytest.approx(0.0, abs=1e-12)


def test_the_normaliser_is_a_running_maximum_of_the_previous_batches():
    loss = CertaintyEquivalentLoss(1.0, 1.0, rate=0.1)
    q = torch.zeros(2)
    expectations = []
    for peak, after in ((4.0, 4.0), (9.0, 9.0), (-1.0, 8.1), (2.0, 7.49)):
        scale = 4.0 if not expectations else expectations[-1]
        found = slope(loss, 0.0, torch.tensor([peak, -2.0]))
        u = min(peak - scale, 5.0)
        assert float(found[0]) == pytest.approx(-(math.exp(u) - math.exp(-scale)), rel=1e-5)
        assert float(loss.normaliser) == pytest.approx(after)
        expectations.append(after)
    assert q.shape == (2,)


def test_a_checkpoint_contains_the_normaliser():
    loss, again = CertaintyEquivalentLoss(1.0, 1.0), CertaintyEquivalentLoss(1.0, 1.0)
    loss(torch.zeros(3), torch.tensor([1.0, 2.0, 3.0]))
    again.load_state_dict(loss.state_dict())
    y = torch.tensor([0.5, 7.0, 20.0])
    assert float(again(torch.zeros(3), y)) == float(loss(torch.zeros(3), y))
    assert again.state_dict() == loss.state_dict()


# Outliers


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("optimism", [1.0, -1.0, 30.0])
@pytest.mark.parametrize("far", [50.0, 1e3, 1e5])
def test_value_and_gradient_are_finite_for_any_outlier(dtype, optimism, far):
    loss = CertaintyEquivalentLoss(1.0, optimism)
    for y in ([0.0, 1.0, -1.0], [far, -far, 0.0], [0.0, 1.0, -1.0], [far, 0.0, 0.0]):
        q = torch.zeros(3, dtype=dtype, requires_grad=True)
        value = loss(q, torch.tensor(y, dtype=dtype))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(q.grad).all()
    assert float(loss.clipped) >= 1
    assert loss.clipped_fraction == float(loss.clipped) / 12


def test_the_bias_of_the_cap_is_the_stated_one():
    """One outcome in a hundred has reward 8: e^u reaches 96 at L, and the cap of 2 reduces it."""
    y = torch.zeros(100, dtype=torch.float64)
    y[0] = 8.0
    best = equivalent(y, 1.0, 1.0)
    low, high = 0.0, best
    for _ in range(60):
        middle = (low + high) / 2
        too_high = float(slope(lagging(1.0, 1.0, 0.0, cap=2.0), middle, y).sum()) > 0
        low, high = (low, middle) if too_high else (middle, high)
    excess = float(((y - low).exp() - math.exp(2.0)).clamp(min=0).mean())
    assert best - low == pytest.approx(math.log1p(excess), rel=1e-9)
    assert best - low > 0.5
    loss = lagging(1.0, 1.0, 0.0, cap=2.0)
    loss(torch.full_like(y, low), y)
    assert float(loss.clipped) == 1


@laws
@given(values_and_weights(), temperatures, dials)
def test_no_probable_outcome_is_clipped_at_the_certainty_equivalent(y, temperature, optimism):
    """Every outcome has a probability of at least 1/5 here."""
    loss = lagging(temperature, optimism, 0.0, cap=math.log(5) + 1e-6)
    loss(torch.full_like(y, equivalent(y, temperature, optimism)), y)
    assert float(loss.clipped) == 0


# Several critics


def test_critics_learn_the_same_together_and_alone():
    q, y = torch.tensor([[0.1, 0.5], [0.3, -1.0]]), torch.tensor([1.0, -0.4])
    for optimism in (0.0, 0.7):
        both = lagging(1.0, optimism, 1.2)
        at = q.clone().requires_grad_()
        value = both(at, y)
        value.backward()
        each = [lagging(1.0, optimism, 1.2)(q[i], y) for i in range(2)]
        torch.testing.assert_close(value.detach(), sum(each))
        for i in range(2):
            alone = q[i].clone().requires_grad_()
            lagging(1.0, optimism, 1.2)(alone, y).backward()
            torch.testing.assert_close(at.grad[i], alone.grad)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"temperature": 0.0, "optimism": 1.0},
            "`temperature` must be positive and finite, but is 0.0.*optimism 0 or with Risk",
        ),
        ({"temperature": -1.0}, "`temperature` must be positive"),
        (
            {"temperature": 1.0, "optimism": math.nan},
            "`optimism` must be a finite number, but is nan. Samples of an environment have one β",
        ),
        ({"temperature": 1.0, "cap": 0.0}, "`cap` must be positive"),
        ({"temperature": 1.0, "rate": 1.5}, "`rate` must be from 0 to 1"),
    ],
)
def test_errors_name_the_allowed_values(arguments, words):
    with pytest.raises(InvalidArgument, match=words):
        CertaintyEquivalentLoss(**arguments)


def test_the_temperature_may_be_zero_at_zero_optimism():
    assert float(CertaintyEquivalentLoss(0.0, 0.0)(torch.zeros(1), torch.ones(1))) == 0.5
