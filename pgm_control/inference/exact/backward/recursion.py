"""The backward recursion of soft values in torch, and its derivatives, which are differentiable themselves."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.factors import Number, aligned, conditionals, nested, nested_tilt
from ....chance.log_space import logarithm, split_mass
from ....chance.operators import certainty_equivalent, is_mean, tilt
from ....chance.risk import unit
from ....kernels.bundles import Logs, Settings
from ....problems.mdp import TabularMDP
from ....trajectories.betas import sizes_of
from .evidence import Evidence

_LARGEST = {torch.float64: 700.0, torch.float32: 85.0}  # exponents whose exponential is finite


class Chances(NamedTuple):
    """What is random and not chosen: p(k|s, a) and p(s_0), with the axes of a batch, if any, in front."""

    probability: Any  # a tensor, or an array for the compiled loops
    initial: Any


def backward(
    mdp: TabularMDP,
    chances: Chances,
    given: Settings,
    logs: Logs | None = None,
    evidence: Evidence | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Q, V and L of the start, in reward units, by a backward recursion; on any device, for any β.

    $$Q_t = L_\beta[r + V'_{t+1}(s')], \qquad V_t = L_1[Q_t], \qquad V'_t = L_{\beta_\gamma}[V_t \text{ or } 0]$$

    where the last operator is over surviving the step, with probability γ, or not.

    Args:
        mdp: the problem, except for its probabilities and rewards.
        chances: the probabilities.
        given: tensors. The axes of the batch, or axes that broadcast against them, come before a tensor's own. The
            temperature is a number, which may be 0, or has the shape of the batch. The optimism is as in `Betas`, with
            the axes of the batch after that of time. If the temperature is a list, of T + 1 of these, the rewards, the
            prior and the probabilities have an axis of time before their own axes.
        logs: for a problem without a batch, tables to fill with the log-probabilities that attain the values. A table
            of length 0 is skipped.
        evidence: for a problem without a batch, factors on its sites, whose logarithms times τ are added to the values.
    """
    rewards, last, priors, temperatures, dynamics, initial, survival = given
    steps, is_timed, sizes = (
        mdp.horizon,
        isinstance(temperatures, list),
        sizes_of(mdp.factors, mdp.num_outcomes, dynamics),
    )
    temperature: Number = temperatures[steps] if isinstance(temperatures, list) else temperatures
    reward, (log_prior, log_mass), chance = rewards, split_mass(priors), []
    if not is_timed:
        chance = conditionals(chances.probability.log(), sizes)
    log_start = chances.initial.log() if evidence is None else evidence.log_start
    start = conditionals(log_start, sizes_of(mdp.initial_factors, mdp.num_states, initial))
    batch = temperature.shape if isinstance(temperature, Tensor) else ()
    tau = unit(temperature)  # of the events, whose optimism at temperature 0 is θ
    of_state, of_action = aligned(tau, 1), aligned(tau, 2)
    q = rewards.new_empty(*batch, steps, mdp.num_states, mdp.num_actions)
    v = rewards.new_empty(*batch, steps + 1, mdp.num_states)
    v[..., steps, :] = last if evidence is None else evidence.states(steps, evidence.paid(steps, last, tau), tau)
    for t in reversed(range(steps)):
        after = v[..., t + 1, :]
        if isinstance(temperatures, list):
            if temperatures[t] is not temperature:  # one number for all times may be 0
                after = after * aligned(temperatures[t] / temperature, 1)
            temperature, tau = temperatures[t], unit(temperatures[t])
            of_state, of_action = aligned(tau, 1), aligned(tau, 2)
            reward, prior, chance_now = step_of(t, (rewards, priors, chances.probability))
            (log_prior, log_mass), chance = split_mass(prior), conditionals(chance_now.log(), sizes)
        ended = 0.0 if evidence is None else tau * evidence.log_ended[t + 1]
        ahead, log_alive = _ahead(mdp, of_state, _at(survival, t), after, ended)
        beta = [_at(each, t) for each in dynamics]
        paid = reward if evidence is None else evidence.outcomes(t, evidence.paid(t, reward, tau), tau)
        values = nested(paid + ahead[..., mdp.successor], chance, of_action, beta)
        gain = values[0] if evidence is None else evidence.actions(t, values[0], tau)
        q[..., t, :, :] = gain
        of_choice = aligned(temperature, 1)
        v[..., t, :] = certainty_equivalent(gain, log_prior, of_choice, 1.0) + of_choice * log_mass
        if evidence is not None:
            v[..., t, :] = evidence.states(t, v[..., t, :], tau)
        if logs is not None:
            logs.policy[t] = tilt(gain, log_prior, temperature, 1.0)
            if len(logs.dynamics):
                logs.dynamics[t] = nested_tilt(values, chance, tau, beta)
            if len(logs.survival):
                logs.survival[t] = log_alive
    values = nested(v[..., 0, :], start, tau, initial)
    if logs is not None:
        logs.start.copy_(nested_tilt(values, start, tau, initial))
    return q, v, values[0]


def step_of(t: int, tables: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, prior and probabilities of step t, from tables with an axis of time."""
    reward, prior, probability = tables
    return reward.select(-4, t), prior.select(-3, t), probability.select(-4, t)


def _at(beta: Number, t: int) -> Number:
    return beta[t] if isinstance(beta, Tensor) else beta


def _ahead(
    mdp: TabularMDP, temperature: Number, survival: Number, v: Float[Tensor, "*batch state"], ended: float = 0.0
) -> tuple[Float[Tensor, "*batch state"], Float[Tensor, "*batch state"]]:
    """L over surviving and ending, which is worth `ended`; and the tilted log-probability of surviving."""
    if mdp.discount == 1:
        return v, torch.zeros_like(v)
    continuation = torch.stack((v, torch.full_like(v, ended)), -1)
    log_continuation = v.new_tensor([mdp.discount, 1.0 - mdp.discount]).log()
    log_alive = tilt(continuation, log_continuation, temperature, survival)[..., 0]
    return certainty_equivalent(continuation, log_continuation, temperature, survival), log_alive


def derivatives(
    mdp: TabularMDP,
    chances: Chances,
    given: Settings,
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    by_all: bool,
    by_chances: bool,
) -> Sequence[Callable[[], Tensor]]:
    """The derivatives by a forward sweep in torch, which is itself differentiable, since autograd tracks the outputs.

    All tensors have one leading axis of settings. Derivatives by prior, temperature and optimism are computed only if
    `by_all`, those by probabilities, which are the last two, only if `by_chances`. If the temperature is a list, as in
    `backward`, derivatives by tables that depend on time do so too, and those by the temperature are 0.
    """
    (rewards, _, priors, temperatures, dynamics, initial, survival), (q, v, objective) = given, outputs
    reward, prior, probability, is_timed = rewards, priors, chances.probability, isinstance(temperatures, list)
    temperature = temperatures[0] if isinstance(temperatures, list) else temperatures
    by_q, by_v, by_objective = cotangents
    by_objective = torch.zeros_like(objective) if by_objective is None else by_objective
    log_p, log_prior, log_start = (logarithm(each) for each in (probability, prior, chances.initial))
    tau, beta = temperature[:, None, None], dynamics[:, None, None]
    start = tilt(v[:, 0], log_start, temperature, initial).exp()
    pressure = by_objective / temperature
    visits = pressure[:, None] * start
    by_initial = by_temperature = torch.zeros_like(temperature)
    if by_all:
        by_initial, by_temperature = _moments(
            v[:, 0], chances.initial > 0, objective * temperature, start, temperature, initial, pressure
        )
        by_temperature = by_temperature - pressure * _finite(objective)
    of_reward, of_prior, of_probability = list[Tensor](), list[Tensor](), list[Tensor]()
    by_dynamics, target = torch.zeros_like(temperature), mdp.successor.flatten()
    by_start = torch.zeros_like(log_start)
    if by_chances:
        by_start = pressure[:, None] * _by_chance(v[:, 0], objective * temperature, temperature, initial)
    for t in range(mdp.horizon):
        ratio = 1.0
        if isinstance(temperatures, list):
            temperature, ratio = temperatures[t], (temperatures[t] / temperatures[t + 1])[:, None]
            tau = temperature[:, None, None]
            reward, prior, probability = step_of(t, (rewards, priors, chances.probability))
            log_p, log_prior = logarithm(probability), logarithm(prior)
        if by_v is not None:
            visits = visits + by_v[:, t]
        policy = tilt(q[:, t], log_prior.expand_as(q[:, t]), tau[..., 0], 1.0).exp()
        here = visits[..., None] * policy
        if by_all:
            _collect(of_prior, tau * here / torch.where(prior > 0, prior, 1.0), is_timed)
            by_temperature = by_temperature + (here * (_finite(v[:, t])[..., None] - _finite(q[:, t])) / tau).sum(
                (-1, -2)
            )
        if by_q is not None:
            here = here + by_q[:, t]
        after = v[:, t + 1] * ratio
        ahead, log_alive = _ahead(mdp, temperature[:, None], survival, after)
        alive = log_alive.exp()
        x = reward + ahead[:, mdp.successor]
        share = tilt(x, log_p, tau, beta).exp()
        if by_all:
            by_beta, by_tau = _moments(x, probability > 0, q[:, t], share, tau, beta, here)
            by_dynamics, by_temperature = by_dynamics + by_beta.sum((-1, -2)), by_temperature + by_tau.sum((-1, -2))
        if by_chances:
            _collect(of_probability, here[..., None] * _by_chance(x, q[:, t], tau, beta), is_timed)
        sent = here[..., None] * share
        _collect(of_reward, sent, is_timed)
        arrived = torch.zeros_like(visits).index_add(1, target, sent.flatten(1))
        if by_all and survival != 0:
            cost = _finite(ahead) - alive * _finite(after)
            by_temperature = by_temperature + (arrived * cost).sum(-1) / temperature
        visits = arrived * alive * ratio
    if by_v is not None:
        visits = visits + by_v[:, mdp.horizon]
    by_tables = [
        torch.zeros_like(table) if not each else torch.stack(each, 1) if is_timed else each[0]
        for each, table in ((of_reward, rewards), (of_prior, priors), (of_probability, chances.probability))
    ]
    by_reward, by_prior, by_probability = by_tables
    found = (by_reward, visits, by_prior, by_temperature, by_dynamics, by_initial, by_probability, by_start)
    return [lambda each=each: each for each in found]


def _collect(found: list[Tensor], each: Tensor, is_timed: bool) -> None:
    """Append the derivative of a step, or add it to the sum of the others."""
    if found and not is_timed:
        found[0] = found[0] + each
    else:
        found.append(each)


def _by_chance(x: Tensor, value: Tensor, temperature: Tensor, optimism: Tensor) -> Tensor:
    r"""The derivative of L by the probabilities, up to a constant for each row, chosen to be continuous in β.

    $$\frac{\partial L}{\partial p_k} = \frac{\tau}{\beta} \bigl(e^{\beta (x_k - L)/\tau} - 1\bigr),$$

    at β = 0 $x_k - L$, to which the next term of the series is added for the derivative by β. An outcome whose value is
    infinite or overflows has 0, but −τ/β if it is forbidden and β > 0.
    """
    b = (optimism / temperature)[..., None]
    level = is_mean(b, 1.0, x.dtype)
    scale = torch.where(level, 1.0, b)
    off = torch.where(x.isfinite() & value.isfinite()[..., None], x - value[..., None], 0.0)
    small = scale * off < _LARGEST[x.dtype]
    steep = torch.expm1(scale * torch.where(small, off, 0.0)) / scale
    lost = torch.where((b > 0) & value.isfinite()[..., None], -1.0 / scale, 0.0)
    return torch.where(torch.isneginf(x), lost, torch.where(level, off + b * off * off / 2, steep))


def _finite(x: Tensor) -> Tensor:
    return torch.where(x.isfinite(), x, 0.0)


def _moments(
    x: Tensor, possible: Tensor, value: Tensor, share: Tensor, temperature: Tensor, optimism: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    r"""The derivatives by β and by τ of weight · L, where L is the `value` of x and E the mean over tilted outcomes.

    $$\tau \frac{\partial L}{\partial \beta} = \frac{E[x] - L}{b} = \frac{\kappa_2}{2} - b \frac{\kappa_3}{6}
        + b^2 \frac{\kappa_4}{24} - \dots, \qquad
        \frac{\partial L}{\partial \tau} = -b \frac{\partial L}{\partial \beta}, \qquad b = \beta/\tau$$

    Where b x hardly varies, the series in the cumulants κ of the tilted x is used.
    """
    b = optimism / temperature
    finite = torch.where(share > 0, _finite(x), 0.0)
    mean = (share * finite).sum(-1)
    off = torch.where(share > 0, finite - mean[..., None], 0.0)
    second, third, fourth = ((share * off**n).sum(-1) for n in (2, 3, 4))
    series = second / 2 - b * third / 6 + b**2 * (fourth - 3 * second**2) / 24
    far = torch.where(possible, x - mean[..., None], 0.0)  # also of outcomes whose tilted probability is 0
    wide = (b[..., None] * far).abs().amax(-1) > 1e-3
    by_b = torch.where(wide, (mean - _finite(value)) / torch.where(b == 0, 1.0, b), series)
    by_b = torch.where(value.isfinite(), by_b, 0.0)
    return weight * by_b / temperature, -weight * by_b * b / temperature
