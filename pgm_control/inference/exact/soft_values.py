"""Soft values, differentiable in rewards, probabilities, temperature and optimism, for many settings at once.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [ziebart2010] B. D. Ziebart, Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
        Carnegie Mellon University, 2010.
"""

from dataclasses import dataclass
from typing import Any, Literal, final, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.factors import aligned
from ...chance.optimism import Optimism
from ...chance.risk import Risk
from ...errors import InvalidArgument
from ...kernels.backend import kernels_for
from ...problems.checks import same_infinities
from ...problems.gradients import detached, graphs_of
from ...problems.mdp import TabularMDP
from ...runtime.arguments import one_of, shown
from ...runtime.array_like import is_transformed
from ...runtime.memory import has_room, require_room
from ...text.one_line import one_line
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.gaussian.model import GaussianModel, is_gaussian
from ...trajectories.steps import is_plain, is_timed, last_worth_of, temperature_at, worth_by_time, worth_of
from .backward.arguments import (
    START,
    betas_of,
    leading_axes,
    of_settings,
    require_distributions,
    require_moderate,
    spread,
)
from .backward.many_settings import ManySettings
from .backward.one_setting import fits, one_setting, solved_alone
from .backward.transforms import transformed
from .gaussian.values import GaussianValues, gaussian_values


@final
@dataclass(frozen=True, eq=False)
class SoftValues:
    """The values of one or many settings, differentiable in those arguments of `soft_values` that need gradients.

    Attributes:
        q: soft action values, in reward units.
        v: soft state values, in reward units; the last is the final reward.
        value: $L_{β_0}[V_0]$ over the start, in reward units: the objective times τ, as in `Posterior`.
        objective: the optimum of J_β, in nats; log p(O) if every block is free.
    """

    q: Float[Tensor, "*batch time state action"]
    v: Float[Tensor, "*batch time_and_last state"]
    value: Float[Tensor, "*batch"]
    objective: Float[Tensor, "*batch"]

    __repr__ = one_line


@overload
def soft_values(  # pyright: ignore[reportOverlappingOverload]
    model: GaussianModel,
    optimism: float | np.number | Risk | Optimism | Float[Tensor, "*#batch"] | Float[np.ndarray, "*#batch"],
    *,
    temperature: float | np.number | Float[Tensor, "*#batch"] | Float[np.ndarray, "*#batch"] | None = None,
) -> GaussianValues: ...
@overload
def soft_values(
    model: MarkovModel,
    optimism: float | np.number | Risk | Optimism | Float[Tensor, "*#batch"] | Float[np.ndarray, "*#batch"],
    *,
    reward: Float[Tensor, "... state action outcome"] | None = None,
    final_reward: Float[Tensor, "*#batch state"] | None = None,
    temperature: float | np.number | Float[Tensor, "*#batch"] | Float[np.ndarray, "*#batch"] | None = None,
    action_prior: Float[Tensor, "... state action"] | Literal["count"] | None = None,
    probability: Float[Tensor, "... state action outcome"] | None = None,
    initial: Float[Tensor, "*#batch state"] | None = None,
) -> SoftValues: ...
def soft_values(
    model: GaussianModel | MarkovModel,
    optimism: float | np.number | Risk | Optimism | Float[Tensor, "*#batch"] | Float[np.ndarray, "*#batch"],
    *,
    reward: Float[Tensor, "... state action outcome"] | None = None,
    final_reward: Float[Tensor, "*#batch state"] | None = None,
    temperature: float | np.number | Float[Tensor, "*#batch"] | Float[np.ndarray, "*#batch"] | None = None,
    action_prior: Float[Tensor, "... state action"] | Literal["count"] | None = None,
    probability: Float[Tensor, "... state action outcome"] | None = None,
    initial: Float[Tensor, "*#batch state"] | None = None,
) -> SoftValues | GaussianValues:
    r"""The values and the objective of `infer`, differentiable, and for a batch of settings in one call.

    $$Q_t(s,a) = L_\beta[r + \gamma V_{t+1}(s')], \qquad V_t(s) = \tau \log \sum_a \rho(a \mid s) \exp(Q_t(s,a)/\tau)$$

    A backward sweep gives the values and a forward sweep the derivatives. The derivative of the objective by a reward
    is the occupancy of its outcome under the optimal distribution, over τ:

    $$\frac{\partial J}{\partial r(s,a,k)} = \frac1\tau \sum_t q(s_t = s, a_t = a, k_t = k).$$

    The derivative by a probability is, up to a constant for each row, which a change that keeps the sum does not see,

    $$\frac{\partial J}{\partial p(k \mid s, a)} = \sum_t d_t(s, a)\,
        \frac1\beta \bigl(e^{\beta (x_k - L_\beta[x])/\tau} - 1\bigr), \qquad x_k = r + \gamma V_{t+1}(s'),$$

    where d is the optimal distribution's own occupancy; at β = 0 it is $d_t\, (x_k - L_0[x])/\tau$. The constant is
    chosen so that it is continuous in β. With $p = \operatorname{softmax}(\text{logits})$ the dynamics can be learned,
    chosen by an adversary, or given a prior.

    If the model depends on time, so do the values (see `TabularModel`), and an argument has an axis of time if the
    model's own table has one. Second derivatives exist too, by the recursion in torch. Leading axes of the arguments
    are settings and are broadcast against each other; each setting is solved as `infer` would solve it alone. The
    transforms of torch.func, such as `vmap`, `grad` and `hessian`, apply to it.

    For a linear-quadratic model the objective is differentiable in all tensors of its problem and its action prior, in
    the temperature and in the optimism, by one forward sweep of the believed moments. The batch is that of the problem.

    Args:
        model: a tabular or a linear-quadratic model; it supplies every argument that is None. Its tables may require
            gradients themselves.
        optimism: β of the start and the dynamics, one for all settings or one per setting; a `Risk`, whose θ may be one
            per setting too, with gradients; or an `Optimism` of one β or `Risk` per block, where survival has a β.
        reward: r(s, a, k), in reward units; −inf forbids the outcome, nan and +inf propagate. It is ignored where the
            probability is 0.
        final_reward: reward of the last state, in reward units.
        temperature: τ > 0, in reward units per nat.
        action_prior: ρ(a|s), up to a positive factor per state: it is normalised here. Or "count", as in
            `TabularModel`.
        probability: p(k|s, a), which leads to the successors of the model and pays `reward`; an outcome that is
            impossible in the model pays 0 unless `reward` is given. Rows must sum to 1 and are not normalised here.
        initial: p(s_0), whose rows must sum to 1 too.

    Returns:
        `SoftValues`, on the device and in the dtype of the model; `GaussianValues` of a linear-quadratic one.

    Raises:
        InvalidArgument: if a shape does not fit, a temperature is not positive, an optimism is not finite, or a row of
            the prior is not a distribution up to a factor; the message names the argument.

    References:
        [levine2018], [ziebart2010], [howard1972]
    """
    if is_gaussian(model):
        tables = (reward, final_reward, action_prior, probability, initial)
        odd = [name for name, each in zip(_TABLES[:5], tables, strict=True) if each is not None]
        if odd:
            raise InvalidArgument(
                f"`{odd[0]}` must be None for a linear-quadratic model. Pass a problem whose tensors need gradients: "
                "problem.replace(C=…)."
            )
        return gaussian_values(model, optimism, temperature)
    require_model(model, timed=True, graph=True)
    own = graphs_of(model.mdp, model.action_prior) if torch.is_grad_enabled() else None
    inside = is_transformed(model.mdp.initial.detach())  # of `grad`, where each new tensor is one of the transform
    if not (own or inside) and action_prior is None and probability is None and initial is None:
        found = _alone(model, optimism, temperature, reward, final_reward)
        if found is not None:
            return found
    given: dict[str, Any] = {"reward": reward, "final_reward": final_reward, "action_prior": action_prior}
    given |= {"probability": probability, "initial": initial}
    if own:
        given, model = own | {name: each for name, each in given.items() if each is not None}, detached(model)
        given = {name: given.get(name) for name in _TABLES}
    theta = optimism.theta if isinstance(optimism, Risk) else optimism
    if inside or any(is_transformed(each) for each in (*given.values(), temperature, theta)):
        return _transformed(model, optimism, temperature, given)
    return _solved(model, optimism, temperature, given)


_TABLES = ("reward", "final_reward", "action_prior", "probability", "initial")


def _alone(model: MarkovModel, optimism: Any, temperature: Any, reward: Any, final_reward: Any) -> SoftValues | None:
    """The values of one setting whose blocks are clamped or free, by loops of their own; None if it is another one."""
    mdp = model.mdp
    kernels = kernels_for(mdp.probability, mdp.horizon)
    if kernels is None or not fits(mdp.reward, reward) or not fits(mdp.initial, final_reward):
        return None
    one = one_setting(kernels, model, optimism, temperature)
    if one is None or one.own is None:
        return None
    _require_room(mdp, 1)
    return SoftValues(*solved_alone(one, reward, final_reward))


def _transformed(model: MarkovModel, optimism: Any, temperature: Any, given: dict[str, Any]) -> SoftValues:
    """The values inside of a transform of torch.func; all tensors are arguments of one function."""
    numbers = {"temperature": temperature, "optimism": optimism.theta if isinstance(optimism, Risk) else optimism}
    named = {name: each for name, each in (given | numbers).items() if isinstance(each, Tensor)}
    axes = {name: len(shape) for name, shape in _shapes(model).items()}
    batch = max((each.ndim - axes.get(name, 0) for name, each in named.items()), default=0)
    full = [each[(None,) * (batch - each.ndim + axes.get(name, 0))] for name, each in named.items()]

    def values(*tensors: Tensor) -> tuple[Tensor, ...]:
        found = given | numbers | dict(zip(named, tensors, strict=True))
        beta, tau = found.pop("optimism"), found.pop("temperature")
        beta = Risk(beta) if isinstance(optimism, Risk) else beta
        reward, last, *others = (found[name] for name in _TABLES)
        solved = _alone(model, beta, tau, reward, last) if all(each is None for each in others) else None
        solved = solved or _solved(model, beta, tau, found)
        return solved.q, solved.v, solved.value, solved.objective

    return SoftValues(*transformed(values, *full))


def _shapes(model: MarkovModel) -> dict[str, tuple[int, ...]]:
    """The shapes of the tables of one setting."""
    mdp = model.mdp
    return {
        "reward": tuple(mdp.reward.shape),
        "final_reward": (mdp.num_states,),
        "action_prior": tuple(model.action_prior.shape),
        "probability": tuple(mdp.probability.shape),
        "initial": (mdp.num_states,),
    }


def _solved(model: MarkovModel, optimism: Any, temperature: Any, given: dict[str, Any]) -> SoftValues:
    """`soft_values` of tensors that hold numbers."""
    mdp, action_prior, plain = model.mdp, given["action_prior"], is_plain(model)
    kernels = kernels_for(mdp.probability, mdp.horizon) if plain else None
    timed = not plain and is_timed(model)
    if timed:
        _refuse_with_time(temperature, optimism)
    tau = of_settings("temperature", temperature_at(model, 0) if temperature is None else temperature)
    require_moderate(tau, mdp)
    dynamics, of_start, survival = betas_of(optimism, tau)
    counts = isinstance(action_prior, str)
    if counts:
        one_of("action_prior", action_prior, ("count",))
        action_prior = torch.ones_like(model.action_prior)  # an action without a finite reward has no weight
    shapes = _shapes(model)
    given = {**given, "action_prior": action_prior}
    numbers = {"temperature": temperature, "optimism": dynamics, START: of_start}
    numbers = {name: of_settings(name, each) for name, each in numbers.items()}
    leading = [leading_axes(name, given[name], shape) for name, shape in shapes.items()]
    leading += [tuple(each.shape) if isinstance(each, Tensor) else () for each in numbers.values()]
    if any(leading):
        try:
            batch = torch.broadcast_shapes(*leading)
        except RuntimeError as problem:
            raise InvalidArgument(
                "The leading axes of the tables, such as `reward`, and the axes of `temperature` and `optimism` must "
                f"broadcast against each other, but are {leading}: {problem}"
            ) from problem
    else:
        batch = torch.Size()
    if batch.numel() == 0:
        raise InvalidArgument(
            "`optimism`, `temperature` and the tables must hold at least one setting, but their leading axes are "
            f"{tuple(batch)}."
        )
    like = mdp.probability
    _require_room(mdp, batch.numel())
    fitting = {name: None if table is None else table.to(like) for name, table in given.items()}
    settings = [each.to(like) if isinstance(each, Tensor) else each for each in numbers.values()]
    for name, after in (*fitting.items(), *zip(numbers, settings, strict=True)):
        before = {**given, **numbers}[name]
        if isinstance(before, Tensor) and isinstance(after, Tensor):
            same_infinities("optimism" if name == START else name, before.detach(), after.detach(), InvalidArgument)
    for name in ("probability", "initial"):
        require_distributions(name, fitting[name])
    axes = {name: len(shape) for name, shape in shapes.items()}
    if not plain:
        fitting |= _of_steps(model, fitting, settings[0])
    if timed:
        axes |= {"reward": 4, "action_prior": 3, "probability": 4}
    tables = [None if table is None else spread(table, batch, axes[name]) for name, table in fitting.items()]
    if tables[2] is not None and not counts:
        total = tables[2].sum(-1, keepdim=True)
        if not bool((tables[2].detach() >= 0).all() & (total.detach() > 0).all() & total.detach().isfinite().all()):
            raise InvalidArgument(
                "`action_prior` must hold probabilities, at least one of them positive for each state, but a row has a "
                "negative, infinite or nan entry, or is all 0."
            )
        tables[2] = tables[2] / total
    flat = [each.expand(batch) if isinstance(each, Tensor) else each for each in settings]
    q, v, objective = ManySettings.apply(kernels, model, survival, batch, *tables[:3], *flat, *tables[3:])
    tau = temperature_at(model, 0) if temperature is None else flat[0]
    return SoftValues(q, v, objective * tau, objective)


def _refuse_with_time(temperature: Any, optimism: Any) -> None:
    """Refuse what has no single number if the model depends on time."""
    if temperature is not None:
        raise InvalidArgument(
            "`temperature` must be None for a model that depends on time, whose own it takes, but is "
            f"{shown(temperature)}. Make another model: TabularModel(mdp, temperature)."
        )
    parts = (optimism.dynamics, optimism.initial, optimism.survival) if isinstance(optimism, Optimism) else [optimism]
    if any(isinstance(each, Risk) for each in parts):
        raise InvalidArgument(
            "`optimism` must be a number β for a model that depends on time, where β = θτ of a Risk would too, but is "
            f"{optimism}. infer(model, optimism) takes it."
        )


def _of_steps(model: MarkovModel, given: dict[str, Tensor | None], temperature: Any) -> dict[str, Tensor | None]:
    """The tables in the form of `tables_of`: the factors of a likelihood, and with an axis of time if it is needed."""
    reward, final = given["reward"], given["final_reward"]
    if not is_timed(model):
        tau = model.temperature if temperature is None else temperature
        of_table, of_state = (aligned(tau, axes) for axes in (3, 1))
        reward = worth_of(model, 0, model.mdp.reward if reward is None else reward, of_table)
        last = model.mdp.final_reward if final is None else final
        return {"reward": reward, "final_reward": last_worth_of(model, last, of_state)}
    found, steps = {"reward": None if reward is None else worth_by_time(model, reward)}, model.mdp.horizon
    for name, own, axes in (("action_prior", model.action_prior, 2), ("probability", model.mdp.probability, 3)):
        table = given[name]
        if table is not None and own.ndim == axes:
            at = table.ndim - axes
            table = table.unsqueeze(at).expand(*table.shape[:at], steps, *table.shape[at:])
        found[name] = table
    found["final_reward"] = None if final is None else last_worth_of(model, final, temperature_at(model, steps))
    return found


def _require_room(mdp: TabularMDP, count: int) -> None:
    """Refuse values that do not fit into memory."""
    entries = count * mdp.horizon * mdp.num_states * (mdp.num_actions + 1)
    if not has_room(entries, 8):
        require_room(
            "model", f"the values of {count:,} settings at {mdp.horizon:,} steps", entries, 8,
            "Shorten the horizon, mdp.replace(horizon=…), or pass fewer settings at once.",
        )  # fmt: skip
