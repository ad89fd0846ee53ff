"""Exact inference of a problem in the plane, for any reward and any optimism.

Sources:
    [jacobson1973] D. H. Jacobson, Optimal stochastic linear systems with exponential performance criteria and their
        relation to deterministic differential games. IEEE Transactions on Automatic Control 18(2):124–131, 1973.
        doi:10.1109/TAC.1973.1100265
    [kappen2005] H. J. Kappen, Linear theory for control of nonlinear stochastic systems. Physical Review Letters
        95:200201, 2005. doi:10.1103/PhysRevLett.95.200201
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.optimism import Optimism, OptimismLike
from ....errors import InvalidArgument, OptimismBreakdown
from ....problems.continuous.planar import Planar
from ....runtime.arguments import positive, shown
from ....runtime.array_like import numbers
from .account import Account, account_of
from .comparison import SolvedOnMesh, compared, require_inside
from .mesh import Mesh, independent_axes
from .plane import Plane, backward, forward
from .plane_steps import PlaneSteps
from .posterior import GridPosterior
from .solution import Densities, Values
from .tails import breakdown, tail

_COARSER = 1.5  # the spacing of the mesh with which the first is compared
_DEVIATIONS = 5.0  # of the walk of the prior, from its start to the edge of the widest mesh
_RESOLVED = 4.0  # nodes a deviation of the narrowest kernel
_MOST_NODES = 1_000_000
_SCOUT = 2.5  # the spacing of the mesh that finds the box, in that of the finest
_KEPT = 30.0  # nats below the largest density, outside of which the meshes have no nodes
_AT_EDGE = 1e-6  # the probability near the edge from which a wider box is tried
_LOST = 1e-2  # that near the edge of a given box from which its numbers are refused
_WIDER, _TRIES = 1.5, 4


@runtime_checkable
class HasPlane(Protocol):
    """A model of a problem in the plane."""

    @property
    def problem(self) -> Planar:
        """The problem."""
        ...

    @property
    def temperature(self) -> float:
        """τ, in reward units per nat."""
        ...

    @property
    def action_prior(self) -> Float[Tensor, "2 2"]:
        """U."""
        ...


class _Solved(NamedTuple):
    plane: Plane
    values: Values
    believed: Densities
    true: Densities
    account: Account


def infer_planar(model: Any, optimism: OptimismLike, *, spacing: Any = None, box: Any = None) -> GridPosterior:
    r"""The exact optimum of $J_\beta$ for a problem in the plane with any reward, by convolutions on a mesh.

    $$G_t(m) = L_\beta[r_{t+1} + V_{t+1}](m), \qquad
        V_t(s) = \tau \log \int N(m; s, U) \exp(G_t(m)/\tau)\, dm$$

    with m = s + a and $L_\beta$ over $N(m, W)$: both are convolutions with a Gaussian, in the logarithm for actions and
    for β ≠ 0. Densities go forward by the same convolutions. The sums over nodes are trapezoidal, whose error falls
    exponentially in 1/h where the reward is smooth on the scale of h. It is stated, not assumed: the problem is solved
    on two meshes, and `error` holds the differences.

    A first, rough mesh reaches five deviations of the walk of the prior from the start, and further if probability is
    left at its edge. The other two cover what its believed and true densities reach, down to e^-30 of their maximum,
    and one deviation of a step more; the coarser one two more.

    *Breakdown.* With β < 0 the adversary may be unbounded, and with β ≥ 0 luck or the action, if the reward rises far
    away; a mesh hides this in a number that depends on its edge [jacobson1973]. Where the rewards grow quadratically or
    slower far away, or faster in all directions, it is decided by their growth, from values up to a million units away.
    Where the growth is no quadratic form it may stay open; then only the probability at the edge can show it.

    Args:
        model: a model such as `PlanarModel`, with a `Planar` problem, a temperature and an action prior.
        optimism: β of the dynamics and the start, one number each, or a `Risk`.
        spacing: the distance of nodes, one number or one for each axis; default: a quarter of the smallest deviation
            of hand, wind and start along the axis.
        box: ((low, high), (low, high)), the edges in the coordinates of the mesh, which are those of the state if both
            covariances are diagonal; default: found as above.

    Returns:
        The optimum: values, policy, marginals, returns and divergences, with the stated error.

    Raises:
        OptimismBreakdown: if an integral diverges; the message holds the time and the direction.
        InvalidArgument: if an argument does not fit, a mesh would have more than a million nodes, or a given box cuts
            off more than 1% of the probability.

    References:
        [jacobson1973], [kappen2005]

    Examples:
        >>> from pgm_control import Planar, PlanarModel, infer_planar
        >>> problem = Planar(lambda s: -(s**2).sum(-1), horizon=2, noise_covariance=0.2, initial_mean=(1.0, 0.0))
        >>> found = infer_planar(PlanarModel(problem, temperature=1.0, action_prior=0.5), 0.0)
        >>> earned = found.true_return  # equal to found.imagined_return, since the dynamics are clamped
    """
    problem = getattr(model, "problem", None)
    if not isinstance(problem, Planar):
        raise InvalidArgument(
            f"`model` must have a problem of the plane, but is {shown(model)}. PlanarModel makes one."
        )
    asked = Optimism.of(optimism)
    beta, beta_of_start, _ = asked.at(model.temperature).numbers("a problem in the plane")
    _require_convergence(problem, model, beta, beta_of_start)
    axes = independent_axes(torch.as_tensor(model.action_prior), problem.noise_covariance)
    step = _spacing(spacing, problem, model, axes)
    if box is None:
        (low, high), outer = _found_box(model, axes, step, beta, beta_of_start)
    else:
        low, high = outer = _edges(box)
    rough = _solved(model, axes, _COARSER * step, *outer, beta, beta_of_start)
    fine = _solved(model, axes, step, low, high, beta, beta_of_start)
    require_inside(fine.account.edge_mass, _LOST, beta, "the mesh")
    steps = PlaneSteps(problem, fine.plane, fine.values, beta, beta_of_start)
    return compared(model, asked, fine.plane.mesh, fine, rough, steps)


def planes_together(
    model: Any, optimisms: Sequence[Optimism], like: Sequence[GridPosterior], coarser: float = 1.0
) -> list[SolvedOnMesh]:
    """Both sweeps for several optimisms on one mesh, which covers those of some posteriors of the model.

    Args:
        model: a model of a problem in the plane, for which no integral diverges.
        optimisms: β of each solution.
        like: posteriors, the smallest of whose spacings is taken.
        coarser: the spacing in that of the posteriors.
    """
    axes = independent_axes(torch.as_tensor(model.action_prior), model.problem.noise_covariance)
    step = coarser * torch.stack([each.mesh.spacing for each in like]).amin(0)
    low = torch.stack([each.mesh.low for each in like]).amin(0)
    high = torch.stack([each.mesh.high for each in like]).amax(0)
    betas = [each.at(model.temperature).numbers("a problem in the plane")[:2] for each in optimisms]
    return [_solved(model, axes, step, low, high, *each) for each in betas]


def _require_convergence(problem: Planar, model: HasPlane, beta: float, beta_of_start: float) -> None:
    """Raise where the growth of the rewards makes an integral diverge."""
    theta, tau = beta / model.temperature, model.temperature
    spread = problem.noise_covariance + torch.as_tensor(model.action_prior)
    scale = float(torch.linalg.eigvalsh(spread).max().sqrt())

    def at(t: int, state: Tensor) -> Tensor:
        found = problem.reward_at(t, state)
        return found + problem.final_reward_at(state) if t == problem.horizon else found

    tails = [
        tail(lambda state, t=t: at(t, state), problem.initial_mean, scale, theta) for t in range(1, problem.horizon + 1)
    ]
    found = breakdown(
        tails,
        problem.noise_covariance,
        torch.as_tensor(model.action_prior),
        problem.initial_covariance,
        tau,
        theta,
        beta_of_start / tau,
    )
    if found is None:
        return
    way = ", ".join(f"{each:.3g}" for each in found.direction)
    why = {
        "adversary": f"`optimism` {beta:g} has broken down: the adversary gains more by throwing the state far away "
        "than it pays for it, so that the value is −inf",
        "luck": f"`model` has a reward that rises so fast far away that luck is worth +inf at optimism {beta:g}",
        "action": "`model` has a reward that rises so fast far away that an action is worth +inf",
    }[found.cause]
    raise OptimismBreakdown(
        f"{why}. It is so for the state at t = {found.time}, in the direction ({way}). A mesh would hide it in a "
        "number that depends on its edge. Choose an optimism nearer to 0, a shorter horizon, or a bounded reward.",
        beta,
        time=found.time,
    )


def _solved(
    model: HasPlane,
    axes: Float[Tensor, "2 2"],
    spacing: Float[Tensor, " 2"],
    low: Tensor | None,
    high: Tensor | None,
    beta: float,
    beta_of_start: float,
) -> _Solved:
    """Both sweeps on one mesh; default: the box of five deviations of the walk of the prior."""
    problem, inverse = model.problem, torch.linalg.inv(axes)
    hand, wind, start = (
        torch.diagonal(inverse @ torch.as_tensor(each) @ inverse.T).clone()
        for each in (model.action_prior, problem.noise_covariance, problem.initial_covariance)
    )
    mean = inverse @ problem.initial_mean
    reach = _DEVIATIONS * (start + problem.horizon * (hand + wind)).sqrt()
    lowest, highest = mean - reach if low is None else low, mean + reach if high is None else high
    nodes = float(((highest - lowest) / spacing + 1).prod())
    if nodes > _MOST_NODES:
        raise InvalidArgument(
            f"`spacing` must leave at most {_MOST_NODES:,} nodes, but {spacing.tolist()} makes {nodes:,.0f} for a box "
            f"from {lowest.tolist()} to {highest.tolist()}. Give a larger spacing or a smaller `box`."
        )
    mesh = Mesh.between(lowest, highest, spacing, axes)
    log_start = None
    if not problem.has_known_start:
        spread = torch.distributions.MultivariateNormal(mean, inverse @ problem.initial_covariance @ inverse.T)
        log_start = spread.log_prob(mesh.points() @ inverse.T)
    plane = Plane(problem, mesh, model.temperature, hand, wind, mean, log_start)
    values = backward(plane, beta, beta_of_start)
    if not abs(values.value) < torch.inf:
        raise InvalidArgument(
            f"`model` has the value {values.value} at optimism {beta:g}: rewards of −inf that the wind can reach "
            "cannot be avoided, or rewards are not finite. Use large finite costs."
        )
    believed = forward(plane, values, beta, beta_of_start)
    true = forward(plane, values, 0.0, 0.0) if (beta, beta_of_start) != (0.0, 0.0) else believed
    return _Solved(plane, values, believed, true, account_of(plane, values, believed, true, beta, beta_of_start))


def _found_box(
    model: HasPlane, axes: Float[Tensor, "2 2"], step: Float[Tensor, " 2"], beta: float, beta_of_start: float
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The box that holds what the densities reach on a rough mesh, and a wider one for comparison."""
    found, edges = _solved(model, axes, _SCOUT * step, None, None, beta, beta_of_start), (None, None)
    for _ in range(_TRIES):
        if found.account.edge_mass <= _AT_EDGE:
            break
        middle, half = (found.plane.mesh.high + found.plane.mesh.low) / 2, found.plane.mesh.high - found.plane.mesh.low
        edges = middle - _WIDER * half / 2, middle + _WIDER * half / 2
        found = _solved(model, axes, _SCOUT * step, *edges, beta, beta_of_start)
    require_inside(found.account.edge_mass, _AT_EDGE, beta, "the widest mesh that was tried")
    mesh, more = found.plane.mesh, (found.plane.hand + found.plane.wind).sqrt()
    tables = [each for one in (found.believed, found.true) for part in (one.states, one.places) for each in part]
    kept = torch.stack([each > each.max() - _KEPT for each in tables]).any(0)
    part = mesh.within(mesh.window(kept))
    low, high = part.low.minimum(found.plane.start), part.high.maximum(found.plane.start)
    return (low - more, high + more), (low - 3 * more, high + 3 * more)


def _spacing(spacing: Any, problem: Planar, model: HasPlane, axes: Float[Tensor, "2 2"]) -> Float[Tensor, " 2"]:
    if spacing is None:
        inverse = torch.linalg.inv(axes)
        known = [] if problem.has_known_start else [problem.initial_covariance]
        kernels = [torch.as_tensor(model.action_prior), problem.noise_covariance, *known]
        narrow = [1 / torch.diagonal(torch.linalg.inv(inverse @ each @ inverse.T)) for each in kernels]
        return torch.stack(narrow).amin(0).sqrt() / _RESOLVED
    given = numbers("spacing", spacing, InvalidArgument).to(torch.float64)
    if given.ndim == 0:
        given = torch.full((2,), positive("spacing", spacing), dtype=torch.float64)
    if tuple(given.shape) != (2,) or not bool(((given > 0) & given.isfinite()).all()):
        raise InvalidArgument(f"`spacing` must be one or two positive numbers, but is {given.tolist()}.")
    return given


def _edges(box: Any) -> tuple[Tensor, Tensor]:
    given = numbers("box", box, InvalidArgument).to(torch.float64)
    if tuple(given.shape) != (2, 2) or not bool(given.isfinite().all()) or not bool((given[:, 0] < given[:, 1]).all()):
        raise InvalidArgument(f"`box` must be ((low, high), (low, high)) with low < high, but is {given.tolist()}.")
    return given[:, 0].clone(), given[:, 1].clone()
