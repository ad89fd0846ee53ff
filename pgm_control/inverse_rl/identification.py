"""Identifiability: what no demonstrations determine about a reward, and what the given demonstrations do not.

Sources:
    [cao2021] H. Cao, S. N. Cohen and Ł. Szpruch, Identifiability in inverse reinforcement learning. Advances in Neural
        Information Processing Systems 34, 2021. arXiv:2106.03498
    [ng1999] A. Y. Ng, D. Harada and S. Russell, Policy invariance under reward transformations: theory and application
        to reward shaping. International Conference on Machine Learning, pages 278–287, 1999.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..chance.risk import beta_of
from ..problems.mdp import TabularMDP
from ..runtime.arguments import instance
from ..trajectories.blocks import MarkovModel
from .demonstrations import Demonstrations
from .demonstrators import BoltzmannDemonstrator, ClampedDemonstrator, Demonstrator, DialDemonstrator
from .laplace import second_derivatives
from .objective import RewardFunction
from .rewards import RewardModel
from .search.optima import TIE
from .search.words import largest, of_flat_directions

_SCALED = 1.1  # any factor but 1
_AT_ONCE = 4_000_000  # values in memory at a time


@final
@dataclass(frozen=True, eq=False, repr=False)
class Identification:
    r"""Directions of ψ along which the behaviour of the demonstrator does not change. Printing it prints sentences.

    The result is local: a reward far away may explain the demonstrations as well, see `Inverse.runners_up`.

    The first five groups are known before any demonstration is given: they follow by exact linear algebra from the
    states that can be reached. Each row is a direction. No direction is in two groups, and all rows are orthonormal.

    Attributes:
        names: the names of the parameters.
        unreachable: rewards of outcomes and last states that cannot be reached.
        redistribution: rewards of outcomes with mean 0; a demonstrator that knows the dynamics and cannot change them
            is indifferent to them.
        constant: adds the same number to every reward.
        shaping: adds $\gamma \phi(s') - \phi(s)$, and $-\phi$ to the last reward, if there is one.
        action_independent: adds rewards that do not depend on the actions and are in none of the groups above.
        unobserved: further directions in which the likelihood of these demonstrations is flat near ψ: a change of the
            rewards by one temperature changes it by less than 1e-9 nats.
        information: the negative Hessian of the log-likelihood, in nats, with the reward linearised.
        scale_trades: whether a larger reward with a larger temperature explains the demonstrations equally well.
        optimism_deviation: the standard deviation of β by the likelihood alone, if all else is fitted; infinite if the
            likelihood does not depend on β, nan if the demonstrator has no β or the likelihood is not concave.

    References:
        [ng1999], [cao2021]
    """

    names: tuple[str, ...]
    unreachable: Float[Tensor, "unreachable parameter"]
    redistribution: Float[Tensor, "redistribution parameter"]
    constant: Float[Tensor, "constant parameter"]
    shaping: Float[Tensor, "shaping parameter"]
    action_independent: Float[Tensor, "action_independent parameter"]
    unobserved: Float[Tensor, "unobserved parameter"]
    information: Float[Tensor, "parameter parameter"]
    scale_trades: bool
    optimism_deviation: float

    @property
    def free_directions(self) -> Float[Tensor, "direction parameter"]:
        """All groups together: an orthonormal basis."""
        groups = (
            self.unreachable,
            self.redistribution,
            self.constant,
            self.shaping,
            self.action_independent,
            self.unobserved,
        )
        return torch.cat(groups)

    def __str__(self) -> str:
        """Sentences that say what is not identified."""
        num_identified = len(self.names) - len(self.free_directions)
        lines = [
            f"{num_identified} of {len(self.names)} directions of the reward are identified by the demonstrations, "
            "near these parameters."
        ]
        groups = (
            (self.unreachable, "belong to outcomes or states that cannot be reached"),
            (
                self.redistribution,
                "pay for luck, on average nothing, to which a demonstrator that knows the dynamics is indifferent",
            ),
            (self.constant, "adds a constant to every reward"),
            (self.shaping, "shape the reward by a potential: they pay for progress and take it back"),
            (self.action_independent, "pay the same for all actions"),
        )
        for directions, what in groups:
            if len(directions):
                number, said = len(directions), what if len(directions) > 1 else _singular(what)
                lines.append(
                    f"No demonstrations identify these directions: {number} {said} ({largest(directions, self.names)})."
                )
        trades = self.scale_trades and num_identified > 0
        lines += of_flat_directions(self.unobserved, self.names, trades, self.optimism_deviation)
        return "\n".join(lines)

    def __repr__(self) -> str:
        """The result in sentences, as `str` gives it."""
        return str(self)


@runtime_checkable
class LearnedReward(Protocol):
    """A reward with the demonstrations behind it, such as `Inverse`."""

    @property
    def reward(self) -> RewardModel:
        """The learned reward."""
        ...

    @property
    def given_model(self) -> MarkovModel:
        """The model with which it was learned."""
        ...

    @property
    def demonstrator(self) -> Demonstrator:
        """The model of the demonstrator."""
        ...

    @property
    def demonstrations(self) -> Demonstrations:
        """The demonstrations."""
        ...


def identification(found: LearnedReward) -> Identification:
    """Return what the demonstrations behind a learned reward do not identify about it.

    References:
        [ng1999], [cao2021]
    """
    instance("found", found, LearnedReward, "Pass inverse(model, demonstrations), or a posterior of rewards.")  # pyright: ignore[reportAbstractUsage]
    model = found.given_model
    function = RewardFunction(found.reward, model.mdp)
    return identified(
        model, found.demonstrations, function, function.start, found.demonstrator, float(model.temperature)
    )


def identified(
    model: MarkovModel,
    demonstrations: Demonstrations,
    function: RewardFunction,
    psi: Float[Tensor, " parameter"],
    demonstrator: Demonstrator,
    tau: float,
) -> Identification:
    """Return the identification at any parameters and temperature."""
    reward, last = (each.detach() for each in function(psi))
    slopes: Any = torch.autograd.functional.jacobian(function, psi)
    by_psi, last_by_psi = slopes

    def log_likelihood(z: Tensor) -> Tensor:
        """Return the log-likelihood of steps from ψ, with the reward linearised, and of β."""
        step = z[..., : len(psi)]
        actor = (
            replace(demonstrator, optimism=z[..., -1]) if isinstance(demonstrator, DialDemonstrator) else demonstrator
        )
        end = last + step @ last_by_psi.mT if bool(last_by_psi.any()) else last
        table = reward + torch.einsum("sakp,...p->...sak", by_psi, step)
        return actor.log_likelihood(model, demonstrations, table, end, tau)

    z = torch.zeros_like(psi)
    if isinstance(demonstrator, DialDemonstrator):
        z = torch.cat([z, torch.as_tensor(beta_of(demonstrator.optimism, tau)).detach().to(psi).reshape(1)])
    mdp = model.mdp
    at_once = max(1, _AT_ONCE // (mdp.horizon * mdp.probability.numel()))
    information = -second_derivatives(log_likelihood, z, at_once)
    of_psi = information[: len(psi), : len(psi)]
    small = torch.finfo(psi.dtype).eps ** 0.6  # smaller differences in likelihood and information are rounding
    rounding = small * float(demonstrations.moves.weight.sum())

    kinds = _flat_for_all(model, demonstrations, by_psi, last_by_psi, demonstrator)
    sizes, vectors = torch.linalg.eigh(of_psi)
    paid = [(each @ vectors).abs().flatten(0, -2).amax(0) for each in (by_psi, last_by_psi)]
    reach = tau / torch.maximum(*paid).clamp_min(torch.finfo(psi.dtype).tiny)  # no reward changes by more than τ
    is_flat = (sizes.abs() <= small * sizes.abs().sum()) | (0.5 * sizes.abs() * reach.square() <= TIE)
    kinds.append(vectors[:, is_flat])
    groups = [psi.new_zeros(len(psi), 0)]
    for kind in kinds:
        basis = torch.cat(groups, 1)
        groups.append(_span(kind - basis @ (basis.T @ kind)))
    unreachable, redistribution, constant, shaping, action_independent, unobserved = (each.T for each in groups[1:])

    deviation = float("nan")
    if isinstance(demonstrator, DialDemonstrator):
        cross = information[: len(psi), -1]
        left = float(information[-1, -1] - cross @ torch.linalg.pinv(of_psi, hermitian=True, rtol=small) @ cross)
        deviation = float("inf") if abs(left) <= rounding else left**-0.5 if left > 0 else float("nan")

    scaled = demonstrator.log_likelihood(model, demonstrations, _SCALED * reward, _SCALED * last, _SCALED * tau)
    same = abs(float(scaled) - float(log_likelihood(z))) <= rounding
    flat = torch.cat([by_psi.flatten(0, -2), last_by_psi]), torch.cat([reward.flatten(), last])
    apart = flat[0] @ torch.linalg.lstsq(*flat, driver="gelsd").solution - flat[1] if len(psi) else flat[1]
    spans = float(apart.abs().max()) <= small * float(flat[1].abs().max())
    return Identification(
        function.names,
        unreachable,
        redistribution,
        constant,
        shaping,
        action_independent,
        unobserved,
        of_psi,
        same and spans,
        deviation,
    )


def _minds_the_mean(demonstrator: Demonstrator) -> bool:
    """Whether the demonstrator depends on rewards of outcomes only by their mean."""
    if isinstance(demonstrator, DialDemonstrator):
        return float(beta_of(demonstrator.optimism, 1.0)) == 0 and demonstrator.dynamics == "world"
    return isinstance(demonstrator, ClampedDemonstrator | BoltzmannDemonstrator)


def _flat_for_all(
    model: MarkovModel,
    demonstrations: Demonstrations,
    by_psi: Float[Tensor, "state action outcome parameter"],
    last: Float[Tensor, "state parameter"],
    demonstrator: Demonstrator,
) -> list[Float[Tensor, "parameter _"]]:
    """Return bases of the first five groups, which may overlap.

    A demonstrator with an infinite horizon has no last state, and its behaviour does not depend on time.
    """
    mdp, by_mean, infinite_horizon = (
        model.mdp,
        _minds_the_mean(demonstrator),
        getattr(demonstrator, "infinite_horizon", False),
    )
    live = (mdp.probability > 0) & (model.action_prior > 0)[..., None]
    first = (mdp.initial > 0) | (demonstrations.starts > 0)
    reached = _reached(mdp, live, first, mdp.num_states if infinite_horizon else mdp.horizon)
    ended = torch.zeros_like(first) if infinite_horizon else reached[-1]
    reachable, end = reached[:-1].any(0)[:, None, None] & live, last[ended]
    here = torch.eye(mdp.num_states).to(last)
    potential = mdp.discount * here[mdp.successor] - here[:, None, None]
    unreachable = _null(torch.cat([by_psi[reachable], end]))
    if by_mean:
        chance = mdp.probability[..., None]
        paid, potential = ((chance * each).sum(2, keepdim=True) for each in (by_psi, potential))
        reachable = reachable.any(2, keepdim=True)
    else:
        paid = by_psi
    n = last.shape[1]
    redistribution = _null(torch.cat([paid[reachable], end]))
    one = last.new_ones(int(reachable.sum()), 1)
    other = last.new_ones(len(end), 1)
    constant = _null(torch.cat([_beside(paid[reachable], one, 0 * one), _beside(end, 0 * other, other)]))[:n]
    shaping = _null(torch.cat([_beside(paid[reachable], -potential[reachable]), _beside(end, here[ended])]))[:n]
    action_independent = shaping if infinite_horizon else _action_independent(mdp, paid, last, reached, live, by_mean)
    return [unreachable, redistribution, _span(constant), _span(shaping), _span(action_independent)]


def _action_independent(
    mdp: TabularMDP, paid: Tensor, last: Tensor, reached: Bool[Tensor, "time state"], live: Tensor, by_mean: bool
) -> Float[Tensor, "parameter direction"]:
    """Return the reward directions that change all actions of a state equally at every time, by backward recursion."""
    basis, gain = torch.eye(last.shape[1]).to(last), last
    for t in reversed(range(mdp.horizon)):
        if basis.shape[1] == 0:
            break
        ahead = mdp.discount * gain[mdp.successor]
        if by_mean:
            ahead = (mdp.probability[..., None] * ahead).sum(2, keepdim=True)
        possible = live.any(2, keepdim=True) if by_mean else live
        every = paid @ basis + ahead
        gain = (every * possible[..., None]).sum((1, 2)) / possible.sum((1, 2))[:, None].clamp_min(1)
        kept = _null((every - gain[:, None, None])[reached[t][:, None, None] & possible], float(every.abs().max()))
        basis, gain = basis @ kept, gain @ kept
    return basis


def _reached(mdp: TabularMDP, live: Tensor, first: Bool[Tensor, " state"], steps: int) -> Bool[Tensor, "time state"]:
    """Return which states can be reached at which time, from 0 to `steps`."""
    rows = [first]
    for _ in range(steps):
        after = torch.zeros_like(first)
        after[mdp.successor[rows[-1]][live[rows[-1]]].long()] = True
        rows.append(after)
    return torch.stack(rows)


def _beside(*blocks: Tensor) -> Tensor:
    return torch.cat(blocks, 1)


def _null(rows: Float[Tensor, "row column"], scale: float = 0.0) -> Float[Tensor, "column direction"]:
    """Return an orthonormal basis of the null space of the rows."""
    _, sizes, vectors = torch.linalg.svd(torch.linalg.qr(rows, mode="r")[1])
    rank = int((sizes > _small(rows) * max(scale, float(sizes.max()) if len(sizes) else 0.0)).sum())
    return vectors[rank:].T


def _span(columns: Float[Tensor, "row column"]) -> Float[Tensor, "row direction"]:
    """Return an orthonormal basis of the span of the columns, whose lengths are 1 or 0."""
    left, sizes, _ = torch.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > _small(columns) ** 0.5]


def _small(like: Tensor) -> float:
    return 1e4 * torch.finfo(like.dtype).eps


def _singular(what: str) -> str:
    for many, one in (("belong", "belongs"), ("they pay", "it pays"), (" pay ", " pays "), ("shape ", "shapes ")):
        what = what.replace(many, one)
    return what.replace("take it back", "takes it back")
