"""Exact inference of a problem on the line, for any reward, any noise and any optimism, by quadrature.

Sources:
    [jacobson1973] D. H. Jacobson, Optimal stochastic linear systems with exponential performance criteria and their
        relation to deterministic differential games. IEEE Transactions on Automatic Control 18(2):124–131, 1973.
        doi:10.1109/TAC.1973.1100265
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ....chance.optimism import Optimism, OptimismLike
from ....errors import InvalidArgument, OptimismBreakdown
from ....problems.continuous.line import Line
from ....runtime.arguments import positive, shown
from ....runtime.array_like import numbers
from .account import Account
from .comparison import SolvedOnMesh, compared, require_inside
from .line import LineTables, account_of, backward, forward
from .line_steps import LineSteps
from .line_tails import action_diverges, breakdown_on_line
from .mesh import Mesh
from .posterior import GridPosterior
from .solution import Densities, Values

_COARSER, _SCOUT = 1.5, 2.5  # spacings, in that of the finest mesh, of the one for comparison and the one for the box
_DEVIATIONS = 5.0  # of the walk of the prior, from its start to the edge
_FARTHEST = 6.0  # deviations of the prior, to the edge of the actions
_RESOLVED, _ACTIONS = 1.25, 10.0  # nodes a deviation of the narrowest noise, and of the action prior
_MOST = 400_000_000  # entries of (state, action, next state)
_KEPT = 16.0  # nats below the largest density, outside of which the meshes have no nodes
_AT_EDGE, _LOST = 1e-6, 1e-2
_WIDER, _TRIES = 1.5, 3


@runtime_checkable
class HasLine(Protocol):
    """A model of a problem on the line."""

    @property
    def problem(self) -> Line:
        """The problem."""
        ...

    @property
    def temperature(self) -> float:
        """τ, in reward units per nat."""
        ...

    @property
    def action_prior(self) -> float:
        """U."""
        ...


class _Box(NamedTuple):
    low: float
    high: float
    reach: float  # of the actions


class _Solved(NamedTuple):
    tables: LineTables
    values: Values
    believed: Densities
    true: Densities
    account: Account


def infer_line(model: Any, optimism: OptimismLike, *, spacing: Any = None, box: Any = None) -> GridPosterior:
    r"""The exact optimum of $J_\beta$ for a problem on the line with any reward and any noise, by quadrature.

    $$Q_t(s, a) = L_\beta[r_{t+1} + V_{t+1}](s, a), \qquad
        V_t(s) = \tau \log \int N(a; 0, U) \exp(Q_t(s, a)/\tau)\, da$$

    The sums over nodes of states and actions are trapezoidal; the law of the noise is normalised on the nodes. The
    error is stated as for `infer_planar`: by a second mesh with 1.5 times the spacings in a wider box.

    *Breakdown.* With β < 0 a reward that falls quadratically and a noise that grows with |a| always break down: at a
    large enough |a| the adversary is unbounded, and a mesh hides it. The tails of the noise at actions up to 1e5
    deviations of the prior are compared with the growth of the rewards, which decides it where rewards are bounded
    above; what the values of later steps add is not examined and can show as probability at the edge.

    Args:
        model: a model such as `LineModel`, with a `Line` problem, a temperature and an action prior.
        optimism: β of the dynamics and the start, one number each, or a `Risk`.
        spacing: the distance of nodes of states and of actions, one number or two; default: four fifths of the smallest
            deviation of the noise for actions of up to 3 deviations, and a tenth of that of the action prior.
        box: (low, high), the edges of the states; default: found as for `infer_planar`.

    Returns:
        The optimum: values, policy, marginals, returns and divergences, with the stated error.

    Raises:
        OptimismBreakdown: if an integral diverges; the message holds the time and the action.
        InvalidArgument: if an argument does not fit, the mesh would be too large, or a given box cuts off more than 1%
            of the probability.

    References:
        [jacobson1973]

    Examples:
        >>> from pgm_control import Line, LineModel, infer_line
        >>> problem = Line(lambda s: -(s**2), horizon=2, noise=0.3, initial_mean=1.0)
        >>> found = infer_line(LineModel(problem, temperature=1.0, action_prior=0.5), 1.0)
        >>> nats, change = found.log_evidence, found.error.objective
    """
    problem = getattr(model, "problem", None)
    if not isinstance(problem, Line):
        raise InvalidArgument(f"`model` must have a problem of the line, but is {shown(model)}. Make a LineModel.")
    asked = Optimism.of(optimism)
    beta, beta_of_start, _ = asked.at(model.temperature).numbers("a problem on the line")
    betas = beta, beta_of_start
    _require_convergence(problem, model, beta)
    smallest, typical = _deviations(problem, model.action_prior)
    step = _spacing(spacing, smallest, model)
    reach = _FARTHEST * model.action_prior**0.5
    if box is None:
        walk = problem.initial_deviation**2 + problem.horizon * (model.action_prior + typical**2)
        half = _DEVIATIONS * walk**0.5
        inner, outer = _found_box(
            model, step, _Box(problem.initial_mean - half, problem.initial_mean + half, reach), betas
        )
    else:
        inner = outer = _Box(*_edges(box, problem), reach)
    rough = _solved(model, (_COARSER * step[0], _COARSER * step[1]), outer, betas)
    fine = _solved(model, step, inner, betas)
    require_inside(fine.account.edge_mass, _LOST, beta, "the mesh")
    return compared(model, asked, fine.tables.mesh, fine, rough, LineSteps(fine.tables, fine.values, *betas))


def lines_together(
    model: Any, optimisms: Sequence[Optimism], like: Sequence[GridPosterior], coarser: float = 1.0
) -> list[SolvedOnMesh]:
    """Both sweeps for several optimisms on one mesh, which covers those of some posteriors of the model.

    Args:
        model: a model of a problem on the line, for which no integral diverges.
        optimisms: β of each solution.
        like: posteriors of `infer_line`, the smallest of whose spacings is taken.
        coarser: the spacings in those of the posteriors.
    """
    actions = [each.steps.tables.actions for each in like if isinstance(each.steps, LineSteps)]
    step = min(float(each.mesh.spacing) for each in like), min(float(each.spacing) for each in actions)
    reach = max(float(each.high) for each in actions)
    low, high = min(float(each.mesh.low) for each in like), max(float(each.mesh.high) for each in like)
    betas = [each.at(model.temperature).numbers("a problem on the line")[:2] for each in optimisms]
    return [_solved(model, (coarser * step[0], coarser * step[1]), _Box(low, high, reach), each) for each in betas]


def _require_convergence(problem: Line, model: HasLine, beta: float) -> None:
    """Raise where the growth of the rewards makes an integral diverge."""
    found = breakdown_on_line(problem, model.temperature, model.action_prior, beta)
    if found is not None:
        why = (
            f"`optimism` {beta:g} has broken down: the adversary gains more by throwing the state far away than it "
            "pays for it"
            if beta < 0
            else f"`model` has a reward that rises so fast far away that luck is worth +inf at `optimism` {beta:g}"
        )
        raise OptimismBreakdown(
            f"{why}. It is so for the state at t = {found[0]} after the action {found[1]:.3g}. A mesh would hide it in "
            "a number that depends on its edge. Choose an optimism nearer to 0, a noise whose deviation is bounded, or "
            "a reward that is bounded.",
            beta,
            time=found[0],
        )
    if (t := action_diverges(problem, model.temperature, model.action_prior)) is not None:
        raise OptimismBreakdown(
            "`model` has a reward that rises so fast far away that an action is worth +inf, for the state at "
            f"t = {t}. Choose a reward that is bounded above, or a narrower action prior.",
            beta,
            time=t,
        )


def _deviations(problem: Line, variance: float) -> tuple[float, float]:
    """The smallest deviation of the noise for likely states and actions, and that of the noise under the prior."""
    action = variance**0.5 * torch.linspace(-3, 3, 61, dtype=torch.float64)
    state = torch.full_like(action, problem.initial_mean)
    try:
        found = torch.as_tensor(problem.noise_at(state, action).stddev, dtype=torch.float64).expand_as(action)
    except (NotImplementedError, AttributeError):
        found = torch.full_like(action, torch.nan)
    found = torch.where(found.isfinite() & (found > 0), found, variance**0.5)
    weight = torch.softmax(-(action**2) / (2 * variance), 0)
    return float(found.min()), float((weight * found**2).sum().sqrt())


def _solved(model: HasLine, step: tuple[float, float], box: _Box, betas: tuple[float, float]) -> _Solved:
    """Both sweeps on one mesh, of which a node is the mean of the start."""
    problem, one = model.problem, torch.ones((1, 1), dtype=torch.float64)
    below = math.ceil((problem.initial_mean - box.low) / step[0] - 1e-9)
    above = math.ceil((box.high - problem.initial_mean) / step[0] - 1e-9)
    side = math.ceil(box.reach / step[1] - 1e-9)
    if (below + above + 1) ** 2 * (2 * side + 1) > _MOST:
        raise InvalidArgument(
            f"`spacing` must leave at most {_MOST:,} triples of state, action and next state, but {step} makes "
            f"{below + above + 1:,} states and {2 * side + 1:,} actions. Give a larger spacing or a smaller `box`."
        )
    mesh = Mesh(_vector(problem.initial_mean - below * step[0]), _vector(step[0]), (below + above + 1,), one)
    actions = Mesh(_vector(-side * step[1]), _vector(step[1]), (2 * side + 1,), one)
    log_start = torch.full((below + above + 1,), -torch.inf, dtype=torch.float64)
    if problem.has_known_start:
        log_start[below] = -mesh.log_cell
    else:
        start = torch.distributions.Normal(
            torch.tensor(problem.initial_mean, dtype=torch.float64), problem.initial_deviation
        )
        log_start = start.log_prob(mesh.nodes(0))
    tables = LineTables(problem, mesh, actions, model.temperature, model.action_prior, log_start)
    values = backward(tables, *betas)
    if not abs(values.value) < torch.inf or values.value < -1e200:
        raise InvalidArgument(
            f"`model` has the value {values.value} at optimism {betas[0]:g}: rewards of −inf that the noise can reach "
            "cannot be avoided, or rewards are not finite. Use large finite costs."
        )
    believed = forward(tables, values, *betas)
    true = forward(tables, values, 0.0, 0.0) if betas != (0.0, 0.0) else believed
    return _Solved(tables, values, believed, true, account_of(tables, values, believed, true, *betas))


def _found_box(
    model: HasLine, step: tuple[float, float], widest: _Box, betas: tuple[float, float]
) -> tuple[_Box, _Box]:
    """The box that holds what the densities reach on a rough mesh, and a wider one for comparison."""
    rough = _SCOUT * step[0], _SCOUT * step[1]
    found = _solved(model, rough, widest, betas)
    for _ in range(_TRIES):
        if found.account.edge_mass <= _AT_EDGE:
            break
        middle, half = (widest.low + widest.high) / 2, _WIDER * (widest.high - widest.low) / 2
        widest = _Box(middle - half, middle + half, _WIDER * widest.reach)
        found = _solved(model, rough, widest, betas)
    require_inside(found.account.edge_mass, _AT_EDGE, betas[0], "the widest mesh that was tried")
    states = torch.stack([each > each.max() - _KEPT for one in (found.believed, found.true) for each in one.states])
    part = found.tables.mesh.within(found.tables.mesh.window(states.any(0)))
    more = model.action_prior**0.5
    low, high = float(part.low) - more, float(part.high) + more
    return _Box(low, high, widest.reach), _Box(low - 2 * more, high + 2 * more, widest.reach * 1.1)


def _vector(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def _spacing(spacing: Any, smallest: float, model: HasLine) -> tuple[float, float]:
    if spacing is None:
        start = model.problem.initial_deviation
        narrow = min(smallest, start) if start > 0 else smallest
        return narrow / _RESOLVED, model.action_prior**0.5 / _ACTIONS
    given = numbers("spacing", spacing, InvalidArgument).to(torch.float64)
    if given.ndim == 0:
        return positive("spacing", spacing), positive("spacing", spacing)
    if tuple(given.shape) != (2,) or not bool(((given > 0) & given.isfinite()).all()):
        raise InvalidArgument(f"`spacing` must be one or two positive numbers, but is {given.tolist()}.")
    return float(given[0]), float(given[1])


def _edges(box: Any, problem: Line) -> tuple[float, float]:
    given = numbers("box", box, InvalidArgument).to(torch.float64)
    is_pair = tuple(given.shape) == (2,) and bool(given.isfinite().all())
    if not is_pair or not float(given[0]) < problem.initial_mean < float(given[1]):
        raise InvalidArgument(
            f"`box` must be (low, high) around the start {problem.initial_mean:g}, but is {given.tolist()}."
        )
    return float(given[0]), float(given[1])
