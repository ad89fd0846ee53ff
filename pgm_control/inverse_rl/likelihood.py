"""The log-likelihood of demonstrations under soft values, for many rewards at once.

It is linear in Q and V. The compiled loops therefore give the likelihood and its derivatives in one call, without any
derivative that it does not use.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.factors import aligned
from ..chance.operators import is_mean
from ..errors import InvalidArgument
from ..inference.exact.backward.batch import ABREAST, solved
from ..kernels.backend import kernels_for
from ..kernels.bundles import Cotangents, Settings
from ..trajectories.blocks import MarkovModel
from ..trajectories.steps import require_plain
from .demonstrations import Demonstrations, Moves
from .values import planned_values

_VALUES = 1_000_000  # entries of Q in memory at a time
Array = np.ndarray


def soft_log_likelihood(
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Float[Tensor, "*#batch state action outcome"],
    last: Float[Tensor, "*#batch state"],
    temperature: Float[Tensor, "*#batch"] | float,
    optimism: Float[Tensor, "*#batch"] | float,
    infinite_horizon: bool = False,
    believed: bool = False,
) -> Float[Tensor, "*batch"]:
    r"""Return the log-likelihood of the actions and, in brackets, of outcomes that follow the believed dynamics.

    $$\ell = \sum \log \rho(a | s) + \frac1\tau \sum \bigl(Q_t(s, a) - V_t(s)\bigr) \; \Bigl[
    + \frac\beta\tau \sum \bigl(\gamma V_{t+1}(s') - Q_t(s, a)\bigr)
    + \sum \log \sum_{k \to s'} p_k\, e^{\beta r_k / \tau} \Bigr]$$

    The sums are over the observed transitions. ℓ is in nats, and twice differentiable in the rewards, τ and β.

    Raises:
        InvalidArgument: if the demonstrations lack the times or, for the term in brackets, the outcomes.
    """
    require_plain(model)
    moves = demonstrations.timed_moves
    total = (moves.weight * model.action_prior.log()[moves.state, moves.action]).sum()
    if believed:
        total = total + _of_outcomes(model, demonstrations, reward, temperature, optimism)
    terms, kernels = _Terms(model, demonstrations, believed), kernels_for(model.mdp.probability, model.mdp.horizon)
    if kernels is None or infinite_horizon:
        q, v = planned_values(model, optimism, reward, last, temperature, infinite_horizon)
        return total + terms(q, v, optimism) / temperature
    numbers = (torch.as_tensor(each, dtype=reward.dtype, device=reward.device) for each in (temperature, optimism))
    return total + _Swept.apply(kernels, model, terms, reward, last, *numbers)


def _of_outcomes(
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Tensor,
    temperature: Tensor | float,
    optimism: Tensor | float,
) -> Float[Tensor, "*batch"]:
    """Return the last sum of the log-likelihood, which has no values."""
    if not demonstrations.has_outcomes:
        raise InvalidArgument(
            "`demonstrations` must say where the actions led: for this demonstrator the outcomes reveal something "
            "about the reward. Pass whole trajectories, or occupancies of shape (T, S, A, K)."
        )
    mdp, moves = model.mdp, demonstrations.moves
    seen = moves.successor >= 0
    (s, a, to), which = torch.stack([each[seen] for each in moves[1:4]]).unique(dim=1, return_inverse=True)
    counts = mdp.initial.new_zeros(len(s)).index_add_(0, which, moves.weight[seen])
    lands = (mdp.successor[s, a] == to[:, None]) & (mdp.probability[s, a] > 0) & (reward[..., s, a, :] > -torch.inf)
    paid = torch.where(lands, reward[..., s, a, :], 0.0)
    tilted = mdp.probability[s, a].log() + aligned(optimism, 2) * paid / aligned(temperature, 2)
    return (counts * torch.where(lands, tilted, -torch.inf).logsumexp(-1)).sum(-1)


@final
class _Terms:
    """The sums of Q and V in a log-likelihood, without the factor 1/τ."""

    def __init__(self, model: MarkovModel, demonstrations: Demonstrations, believed: bool) -> None:
        moves = demonstrations.timed_moves
        self._discount, self._moves = model.mdp.discount, moves
        self._seen = Moves(*(each[(moves.successor >= 0) & believed] for each in moves))
        self.tilts = len(self._seen.time) > 0

    def __call__(
        self,
        q: Float[Tensor, "*batch time state action"],
        v: Float[Tensor, "*batch time_and_last state"],
        optimism: Tensor | float,
    ) -> Float[Tensor, "*batch"]:
        """Return the sums."""
        t, s, a, _, weight = self._moves
        return (q[..., t, s, a] - v[..., t, s]) @ weight.to(q) + optimism * self.surplus(q, v)

    def surplus(self, q: Tensor, v: Tensor) -> Float[Tensor, "*batch"]:
        """Return the factor of β: the sum of γ V(s') − Q, without actions that are impossible anyway."""
        t, s, a, to, weight = self._seen
        left = q[..., t, s, a]
        return torch.where(left > -torch.inf, self._discount * v[..., t + 1, to] - left, 0.0) @ weight.to(q)

    def add_coefficients(self, q: Float[Array, "time action state"], v: Float[Array, "time_and_last state"]) -> None:
        """Add the derivatives of the first sum by Q and V."""
        t, s, a, _, weight = (each.numpy() for each in self._moves)
        np.add.at(q, (t, a, s), weight)
        np.add.at(v, (t, s), -weight)

    def add_coefficients_of_surplus(self, q: Array, v: Array) -> None:
        """Add the derivatives of the factor of β by Q and V."""
        t, s, a, to, weight = (each.numpy() for each in self._seen)
        np.add.at(q, (t, a, s), -weight)
        np.add.at(v, (t + 1, to), self._discount * weight)


class _Swept(torch.autograd.Function):
    """`_Terms` over τ for a batch of rewards, final rewards, τ and β, by the compiled loops."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, kernels: ModuleType, model: MarkovModel, terms: _Terms, *inputs: Tensor
    ) -> Tensor:
        needs = ctx.needs_input_grad[3:]
        total, ctx.slopes = _swept(kernels, model, terms, inputs, wants=2 if needs[3] else int(any(needs)))
        ctx.model, ctx.terms = model, terms
        ctx.save_for_backward(*inputs)
        return total

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        given, needs = ctx.saved_tensors, ctx.needs_input_grad[3:]
        if not torch.is_grad_enabled():
            parts = zip(ctx.slopes, given, _AXES, needs, strict=True)
            found = [
                (slope * aligned(cotangent, axes)).sum_to_size(each.shape) if need else None
                for slope, each, axes, need in parts
            ]
            return (None, None, None, *found)
        # Without aliases the derivative by τ would include that by a β that depends on τ.
        aliases = [each.view_as(each) for each in given]
        reward, last, temperature, optimism = aliases
        q, v = planned_values(ctx.model, optimism, reward, last, temperature, infinite_horizon=False)
        wanted = [each for each, need in zip(aliases, needs, strict=True) if need]
        total = ctx.terms(q, v, optimism) / temperature
        slopes = iter(torch.autograd.grad(total, wanted, cotangent, create_graph=True))
        return (None, None, None, *(next(slopes) if need else None for need in needs))


_AXES = (3, 1, 0, 0)  # of reward, final reward, τ and β, without those of the batch


def _swept(
    kernels: ModuleType, model: MarkovModel, terms: _Terms, inputs: Sequence[Tensor], wants: int
) -> tuple[Tensor, list[Tensor]]:
    """Return the terms over τ and their derivatives by each input; only those that `wants` selects are valid."""
    mdp, steps, (states, actions, _) = model.mdp, model.mdp.horizon, model.mdp.probability.shape
    leading = [each.shape[: each.ndim - axes] for each, axes in zip(inputs, _AXES, strict=True)]
    batch = torch.broadcast_shapes(*leading)
    count = batch.numel()
    reward, last, tau, beta = (
        each.detach().double().expand((*batch, *own)).reshape(count, *own).numpy()
        for each, own in zip(inputs, (mdp.reward.shape, (states,), (), ()), strict=True)
    )
    prior = np.ascontiguousarray(model.action_prior.numpy(), dtype=np.float64)[None]
    beta = np.where(is_mean(beta, tau, mdp.probability.dtype), 0.0, beta)
    size = min(count, ABREAST * max(torch.get_num_threads(), _VALUES // (steps * states * actions * ABREAST)))
    shapes = (steps, actions, states), (steps + 1, states)
    fixed, tilted, costs = ([np.zeros((*rows, *shape)) for shape in shapes] for rows in ((), (), (size,)))
    terms.add_coefficients(*fixed)
    terms.add_coefficients_of_surplus(*tilted)
    total, slopes = np.empty(count), [np.zeros_like(each) for each in (reward, last, tau, beta)]
    order = np.argsort(np.abs(beta), kind="stable")  # neighbours share one form of the operator
    for into, one in zip(costs, fixed, strict=True):
        into[:] = one
    for start in range(0, count, size):
        which = order[start : start + size]
        n, b = len(which), beta[which]
        for into, one, other in zip(costs if terms.tilts else (), fixed, tilted, strict=terms.tilts):
            into[:n] = one + b.reshape(-1, *[1] * one.ndim) * other
        given = Settings(reward[which], last[which], prior, tau[which], b, np.zeros(n), 0.0)
        found = solved(kernels, mdp, given, wants, Cotangents(np.zeros(n), *(each[:n] for each in costs)))
        q, v = torch.from_numpy(found.q).swapaxes(-1, -2), torch.from_numpy(found.v)
        total[which] = terms(q, v, torch.from_numpy(b)).numpy()
        if wants > 0:
            slopes[0][which], slopes[1][which] = found.by_reward, found.by_final_reward
        if wants > 1:
            slopes[3][which] = found.by_numbers[:, 1] + terms.surplus(q, v).numpy()
    # The result does not change if rewards and τ are multiplied by one number; this gives the derivative by τ.
    for each, slope in zip((reward, last), slopes, strict=False):
        paid = np.where(slope == 0, 0.0, each) * slope
        slopes[2] -= paid.reshape(count, -1).sum(-1) / tau
    found = [torch.from_numpy(each / tau.reshape(-1, *[1] * (each.ndim - 1))) for each in (total, *slopes)]
    total, *slopes = (each.reshape((*batch, *each.shape[1:])).to(inputs[0]) for each in found)
    return total, slopes
