"""The ledger of a problem in the plane or on the line, on a mesh that the guide and the optimum share."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.optimism import Optimism
from ...errors import InvalidGuide
from ...inference.exact.grid.comparison import SolvedOnMesh
from ...inference.exact.grid.posterior import GridPosterior
from ...inference.exact.grid.solution import expected
from ...inference.exact.infer import infer
from ..continuous.meshes import COARSER, solved_together
from .continuous_ledger import ContinuousLedger


class _Betas(NamedTuple):
    """β of the dynamics and the start."""

    dynamics: float
    initial: float


class _Entries(NamedTuple):
    """The numbers of a ledger on one mesh, in nats, and the delusion in reward units."""

    evidence: float
    elbo: float
    initial: float
    policy: Float[Tensor, " time"]
    dynamics: Float[Tensor, " time"]
    delusion: Float[Tensor, " time_and_last"]

    @property
    def gap(self) -> float:
        """The sum of the entries."""
        return self.initial + float(self.policy.sum()) + float(self.dynamics.sum())


def ledger_on_a_mesh(
    model: Any, guide: object, optimism: Optimism, best: GridPosterior | None = None
) -> ContinuousLedger:
    """The ledger of a posterior of a problem in the plane or on the line; see `ledger`.

    Guide and optimum are solved again on one mesh, with the smaller of their spacings, in a box that holds both; their
    expectations are sums over its nodes. The stated error is the change of the gap from a mesh of 1.5 times the
    spacing.

    Args:
        model: a model of a problem in the plane or on the line.
        guide: a posterior of the same model.
        optimism: β of the objective.
        best: the optimum, if it is known; default: infer(model, optimism).

    Raises:
        InvalidGuide: if the guide is no posterior of this model.
        OptimismBreakdown: if the objective is unbounded at this optimism.
    """
    if not isinstance(guide, GridPosterior) or guide.model is not model:
        raise InvalidGuide(
            "`guide` must be a posterior of this model, such as infer(model, 0.0), for a ledger on a mesh, but is a "
            f"{type(guide).__name__}. For any other guide the gap as a whole is infer(model, 1.0).log_evidence - "
            "estimate(model, guide).elbo.mean."
        )
    best = infer(model, optimism) if best is None else best
    asked = optimism.at(model.temperature)
    fine, rough = (_on_one_mesh(model, guide, best, asked, coarser) for coarser in (1.0, COARSER))
    return ContinuousLedger(
        problem=model.problem,
        optimism=asked,
        log_evidence=fine.evidence,
        elbo=fine.elbo,
        initial=fine.initial,
        policy_by_step=fine.policy,
        dynamics_by_step=fine.dynamics,
        delusion_by_step=fine.delusion,
        noises=(),
        posterior_noises=(),
        evidence_name="log p(O)",
        error=abs(fine.gap - rough.gap) if math.isfinite(fine.gap) else 0.0,
    )


def _on_one_mesh(model: Any, guide: GridPosterior, best: GridPosterior, asked: Optimism, coarser: float) -> _Entries:
    """The entries, with guide and optimum on a mesh that covers both of theirs."""
    own = guide.optimism.at(model.temperature)
    tables, top = solved_together(model, (own, asked), (guide, best), coarser)
    q, p = _Betas(*own.numbers("a mesh")[:2]), _Betas(*asked.numbers("a mesh")[:2])
    tau, known = model.temperature, model.problem.has_known_start
    places, ahead = tables.believed.places, tables.believed.states[-model.problem.horizon :]
    own_g, top_g = _mean(places, tables.values.g), _mean(places, top.values.g)
    policy = (own_g - top_g - _before(tables, tables) + _before(tables, top)) / tau
    own_tilt = q.dynamics / tau * (_mean(ahead, tables.values.worth) - own_g) if q.dynamics else torch.zeros_like(own_g)
    tilt = p.dynamics / tau * (_mean(ahead, top.values.worth) - top_g) if p.dynamics else torch.zeros_like(top_g)
    initial = 0.0
    if not known:
        for found, beta, sign in ((tables, q.initial, 1.0), (top, p.initial, -1.0)):
            mean = float(_mean(tables.believed.states[:1], found.values.v[:1])[0])
            initial += sign * beta / tau * (mean - found.values.value) if beta else 0.0
    account = tables.account
    elbo = float(account.imagined_rewards.sum()) / tau - float(account.policy_kl.sum())
    for kl, beta in ((float(account.dynamics_kl.sum()), p.dynamics), (account.initial_kl, p.initial)):
        elbo -= float(_charged(policy.new_tensor(kl), beta, kl == 0.0))
    return _Entries(
        evidence=top.values.value / tau,
        elbo=elbo,
        initial=float(_charged(policy.new_tensor(initial), p.initial, known or q.initial == 0.0)),
        policy=policy,
        dynamics=_charged(own_tilt - tilt, p.dynamics, q.dynamics == 0.0),
        delusion=account.imagined_rewards - account.true_rewards,
    )


def _mean(log_density: Float[Tensor, "time ..."], values: Float[Tensor, "time ..."]) -> Float[Tensor, " time"]:
    """The means of tables over the nodes, by time."""
    flat = log_density.flatten(1)
    return expected(flat - torch.logsumexp(flat, 1, keepdim=True), values.flatten(1))


def _before(guide: SolvedOnMesh, found: SolvedOnMesh) -> Float[Tensor, " time"]:
    """The mean over the guide's states before each action of the values of a solution, t = 0 … T − 1."""
    states, v, horizon = guide.believed.states, found.values.v, len(found.values.g)
    if guide.believed.has_start:
        return _mean(states[:-1], v[:-1])
    later = _mean(states[:-1], v[1:horizon]) if horizon > 1 else states.new_zeros(0)
    return torch.cat([later.new_tensor([found.values.value]), later])


def _charged(kl: Tensor, beta: float, is_models: bool) -> Tensor:
    """KL over β; at β = 0 it is 0 for the block of the model and infinite for another."""
    if beta != 0:
        return kl / beta
    return torch.zeros_like(kl) if is_models else torch.full_like(kl, math.inf)
