"""The derivatives of the results of `sweep`, by one forward sweep of occupancies and forward messages."""

from typing import NamedTuple

import numpy as np

from .bundles import Cotangents, Outcomes
from .compiling import compiled
from .lanes import Chances, Room, soften, spread_out
from .outcomes import carry, lookahead
from .sweep import Lanes, Scales, Swept, Values, discounted, live
from .vector_math import exp, exp_and_expm1

Array = np.ndarray
_LARGEST = 700.0  # the exponential of more may overflow
_NEAR = 0.1  # below, a series has the digits that the closed form loses
_FAR = 1e4  # nats
_NEVER = 1e-290
_ROUNDING = 1e-14


class Gradients(NamedTuple):
    """Derivatives, which are added to the content of these arrays."""

    visits: Array  # (state, setting): on entry with respect to the first V, on return to the last
    by_reward: Array  # (outcome, lane)
    by_numbers: Array  # (setting, 2): with respect to temperature and optimism of the dynamics
    by_log_prior: Array  # (lane,), or empty: then `by_numbers` is left out too
    by_chance: Array  # (outcome, lane), or empty


@compiled
def pullback(
    outcomes: Outcomes, lanes: Lanes, scales: Scales, values: Values, swept: Swept, costs: Cotangents, into: Gradients
) -> None:
    """The forward pass: the derivatives of Σ visits · V_0 + Σ costs.q · Q + Σ costs.v · V; costs may be empty."""
    successor, _, count, common, lane, ordered = outcomes
    weight, reward, _, _ = lanes
    discount, temperature, dynamics_scale, survival_scale = scales
    q, v, policy = values
    factor, narrow, z, inverse, alive, folds = swept
    by_q, by_v = costs.q.reshape(q.shape[0], costs.q.shape[1], costs.q.shape[2] * costs.q.shape[3]), costs.v
    visits, by_reward, by_numbers, by_log_prior, by_chance = into
    horizon, states, settings = v.shape[0] - 1, v.shape[1], v.shape[2]
    num_outcomes, width, many = successor.shape[0], reward.shape[1], states * settings
    averages, all_of_it, chance_too = dynamics_scale[0] == 0, by_log_prior.shape[0] > 0, by_chance.shape[0] > 0
    here = np.empty(width)
    mass = here if ordered else np.empty(width)
    arrived, one = np.empty((states, settings)), np.ones((states, settings))
    x, share, norm = np.empty((num_outcomes, width)), np.empty((num_outcomes, width)), np.empty(width)
    by_pair = lane.shape[0], settings
    natural, of_lane, spread = np.empty(by_pair), np.empty(by_pair), np.empty(by_pair)
    found = of_lane.reshape(width)
    lane_temperature, beyond = spread_out(temperature, width), np.empty((states, settings))
    chances = Chances(weight, count * settings, spread_out(dynamics_scale, width), lane_temperature)
    room = Room(norm, x, np.empty((3, width)))
    flat_visits, flat_arrived, has_tiny = visits.reshape(many), arrived.reshape(many), smallest(weight) < _NEVER
    for t in range(horizon):
        if by_v.shape[1] > 0:
            for s in range(states):
                for b in range(settings):
                    visits[s, b] += by_v[b, t, s]
        for i in range(0, width, many):
            choose(flat_visits, policy[t, i : i + many], here[i : i + many])
        if all_of_it:
            for b in range(settings):
                for j in range(q.shape[2]):
                    natural[j, b] = q[b, t, j]
            by_choices(v, t, natural, here, temperature, by_log_prior, by_numbers)
        if by_q.shape[1] > 0:
            for b in range(settings):
                for j in range(q.shape[2]):
                    here[j * settings + b] += by_q[b, t, j]
        for j in range(0 if ordered else lane.shape[0]):
            at = lane[j] * settings
            for b in range(settings):
                mass[j * settings + b] = here[at + b]
        by_products = averages or narrow[t]
        if all_of_it or chance_too or not by_products:
            if alive.shape[0] > 0:
                live(v[t + 1], discount, survival_scale, temperature, beyond, arrived, norm[:0])
            else:
                discounted(v[t + 1], discount, beyond)
            for j in range(lane.shape[0]):
                for b in range(settings):
                    of_lane[j, b] = q[b, t, lane[j]]
        if not by_products:
            lookahead(x, reward, beyond, successor, count)
            if not has_tiny and moderate(of_lane, dynamics_scale):
                tilt(x, chances, found, share, norm)
            else:
                soften(x, chances, found, share, room)
        elif all_of_it and not averages:
            by_products_of(x, share, lanes, swept, beyond, of_lane, dynamics_scale, t, outcomes)
            norm[:] = 0.0
        if all_of_it and averages:
            half_variance(spread, lanes, beyond, of_lane, successor, count)
        elif all_of_it:
            divergence(spread, x, norm, share, weight, chances.counts)
        if all_of_it:
            by_spread(spread, mass, of_lane, dynamics_scale, temperature, by_numbers)
        if chance_too:
            lookahead(x, reward, beyond, successor, count)
            add_slopes(x, chances, mass, found, by_chance)
        arrived[:] = 0.0
        if narrow[t]:
            if not folds:
                for i in range(width):
                    mass[i] *= inverse[t, i]
            carry(arrived, by_reward, mass, factor, z[t], successor, count, common)
            arrived *= z[t]
        else:
            carry(arrived, by_reward, mass, weight if averages else share, one, successor, count, common)
        if alive.shape[0] > 0:
            flat_v, flat_beyond, flat_alive = v[t + 1].reshape(many), beyond.reshape(many), alive[t].reshape(many)
            for n in range(many):
                flat_visits[n] = flat_arrived[n] * flat_alive[n]
                if all_of_it and flat_arrived[n] != 0:
                    cost = flat_beyond[n] - flat_alive[n] * flat_v[n]
                    by_numbers[n % settings, 0] += flat_arrived[n] * cost / lane_temperature[n]
        else:
            for n in range(many):
                flat_visits[n] = discount * flat_arrived[n]
    if by_v.shape[1] > 0:
        for s in range(states):
            for b in range(settings):
                visits[s, b] += by_v[b, horizon, s]


@compiled
def by_choices(
    v: Array, t: int, q: Array, here: Array, temperature: Array, by_log_prior: Array, by_numbers: Array
) -> None:
    """Add the derivatives of the soft maxima of one step by the prior and by τ; q is (pair, setting)."""
    states, settings = v.shape[1], v.shape[2]
    shape = (q.shape[0] // states, states, settings)
    visits, by_prior, values = here.reshape(shape), by_log_prior.reshape(shape), q.reshape(shape)
    total = np.zeros(settings)
    for a in range(shape[0]):
        for s in range(states):
            for b in range(settings):
                stays = visits[a, s, b]
                by_prior[a, s, b] += temperature[b] * stays
                cost = stays * (v[t, s, b] - values[a, s, b])
                total[b] += cost if stays != 0 else 0.0
    for b in range(settings):
        by_numbers[b, 0] += total[b] / temperature[b]


@compiled
def by_products_of(
    x: Array,
    share: Array,
    lanes: Lanes,
    swept: Swept,
    beyond: Array,
    q: Array,
    scale: Array,
    t: int,
    outcomes: Outcomes,
) -> None:
    """Write the tilted probabilities of a narrow step into `share`, and their exponents b (x − Q) into `x`."""
    (pairs, settings), successor, count = q.shape, outcomes.successor, outcomes.counts
    shape = (successor.shape[0], pairs, settings)
    reward, factor, exponent, shares = (
        lanes.reward.reshape(shape),
        swept.factor.reshape(shape),
        x.reshape(shape),
        share.reshape(shape),
    )
    z, inverse = swept.z, swept.inverse.reshape((swept.inverse.shape[0], pairs, settings))
    for k in range(successor.shape[0]):
        for j in range(count[k]):
            target = successor[k, j]
            for b in range(settings):
                shares[k, j, b] = factor[k, j, b] * z[t, target, b] * inverse[t, j, b]
            for b in range(settings):
                exponent[k, j, b] = scale[b] * (reward[k, j, b] + beyond[target, b] - q[j, b])


@compiled
def smallest(weight: Array) -> float:
    """The smallest positive probability."""
    found = 1.0
    for k in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            found = weight[k, i] if 0 < weight[k, i] < found else found
    return found


@compiled
def moderate(q: Array, scale: Array) -> bool:
    """Whether every b Q is finite, and so small that its rounding does not show in exp(b (x − Q))."""
    odd = 0
    for j in range(q.shape[0]):
        for b in range(q.shape[1]):
            odd += not (abs(scale[b] * q[j, b]) < _FAR)
    return odd == 0


@compiled
def tilt(x: Array, chances: Chances, value: Array, share: Array, norm: Array) -> None:
    """What `soften` writes into `share`, `norm` and `x`, where its value is known: p exp(b (x − L)), normalised.

    Their sum differs from 1 by the rounding of L alone, by which all exponents of a lane are too large or too small;
    where it differs by no more than a sum of a few numbers does anyhow, nothing is known of it.
    """
    weight, count, scale, _ = chances
    for i in range(norm.shape[0]):
        norm[i] = 0.0
    for k in range(x.shape[0]):
        for i in range(count[k]):
            y = scale[i] * (x[k, i] - value[i])
            x[k, i] = y if weight[k, i] > 0 else -np.inf
        for i in range(count[k]):
            each = weight[k, i] * exp(x[k, i])
            share[k, i] = each
            norm[i] += each
    for k in range(x.shape[0]):
        for i in range(count[k]):
            share[k, i] /= norm[i]
    for i in range(norm.shape[0]):
        off = norm[i] - 1.0
        norm[i] = off if abs(off) > _ROUNDING else 0.0


@compiled
def divergence(spread: Array, y: Array, norm: Array, share: Array, weight: Array, count: Array) -> None:
    r"""Write the KL of the tilted outcomes from the true ones of each lane, in nats; `share` is $p e^z$, z = y − norm.

    It overwrites y. The tilted probabilities sum to 1, so that the KL is $\sum_k p \varphi(z)$ with
    $\varphi(z) = z e^z - e^z + 1 = \frac{z^2}{2} + \frac{z^3}{3} + \dots$, of which no term is negative.
    """
    flat = spread.reshape(norm.shape[0])
    for i in range(norm.shape[0]):
        flat[i] = 0.0
    for k in range(y.shape[0]):  # short loops without branches, which are vectorised
        for i in range(count[k]):
            y[k, i] = max(y[k, i] - norm[i], -_LARGEST)
        for i in range(count[k]):
            z, each, p = y[k, i], share[k, i], weight[k, i]  # read before the choice, to be vectorised
            near = z * (1 / 144 + z * (1 / 840 + z * (1 / 5760 + z / 45360)))
            near = p * z * z * (0.5 + z * (1 / 3 + z * (1 / 8 + z * (1 / 30 + near))))
            far = each * (z - 1.0) + p
            y[k, i] = near if abs(z) < _NEAR else far
        for i in range(count[k]):
            flat[i] += y[k, i]


@compiled
def half_variance(spread: Array, lanes: Lanes, beyond: Array, q: Array, successor: Array, count: Array) -> None:
    r"""Write half the variance of $r + \gamma V(s')$ of each pair and setting, the limit of KL / b² for b → 0."""
    (pairs, settings), num_outcomes = spread.shape, successor.shape[0]
    weight = lanes.weight.reshape((num_outcomes, pairs, settings))
    reward = lanes.reward.reshape(weight.shape)
    for j in range(pairs):
        for b in range(settings):
            spread[j, b] = 0.0
    for k in range(num_outcomes):
        for j in range(count[k]):
            target = successor[k, j]
            for b in range(settings):
                off = reward[k, j, b] + beyond[target, b] - q[j, b]
                term = 0.5 * weight[k, j, b] * off * off
                spread[j, b] += term if weight[k, j, b] > 0 else 0.0


@compiled
def by_spread(spread: Array, mass: Array, q: Array, scale: Array, temperature: Array, by_numbers: Array) -> None:
    r"""Add the derivatives of $L_\beta$ by τ and β, $-\tfrac{1}{\tau b}$ and $\tfrac{1}{\tau b^2}$ times the KL."""
    pairs, settings = spread.shape
    visits, total = mass.reshape(spread.shape), np.zeros(settings)
    for j in range(pairs):
        for b in range(settings):
            cost = visits[j, b] * spread[j, b]
            total[b] += cost if (visits[j, b] != 0) & (abs(q[j, b]) < np.inf) else 0.0
    for b in range(settings):
        square = scale[b] * scale[b] if scale[b] != 0 else 1.0
        slope = total[b] / (square * temperature[b])
        by_numbers[b, 1] += slope
        by_numbers[b, 0] -= slope * scale[b]


@compiled
def choose(visits: Array, policy: Array, here: Array) -> None:
    """Write how often each state is left by one action into `here`; what is next to never becomes never.

    Products of numbers near the smallest take many times as long as others.
    """
    for n in range(visits.shape[0]):
        each = visits[n] * policy[n]
        here[n] = each if abs(each) > _NEVER else 0.0


@compiled
def add_slopes(x: Array, chances: Chances, here: Array, value: Array, into: Array) -> None:
    r"""Add the derivatives of $L_\beta[x]$ by the probabilities: $\frac1b (e^{b (x - L)} - 1)$ with $b = \beta/\tau$.

    They are up to a constant for each lane, and at β = 0 $x - L$. An outcome whose value is infinite or whose
    exponential overflows has 0, but −1/b if it is forbidden and β > 0.
    """
    _, count, scale, _ = chances
    level = scale[0] == 0
    for k in range(x.shape[0]):
        xk, slopes = x[k], into[k]
        for i in range(count[k]):
            off = xk[i] - value[i]
            off = off if abs(off) < np.inf else (-np.inf if abs(value[i]) < np.inf and xk[i] < np.inf else 0.0)
            if level:
                slopes[i] += here[i] * off if off > -np.inf else 0.0
            else:
                steep = scale[i] * off
                steep = steep if steep < _LARGEST else 0.0
                slopes[i] += here[i] * exp_and_expm1(steep)[1] / scale[i]
