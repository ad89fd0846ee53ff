"""The ELBO by sampling, with a score-function gradient that weighs each choice by the return that follows it.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [sutton2000] R. S. Sutton et al., Policy gradient methods for reinforcement learning with function approximation.
        Advances in Neural Information Processing Systems 12:1057–1063, 2000.
    [williams1992] R. J. Williams, Simple statistical gradient-following algorithms for connectionist reinforcement
        learning. Machine Learning 8:229–256, 1992. doi:10.1007/BF00992696
"""

from collections.abc import Callable
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from pyro.distributions.util import scale_and_mask
from pyro.infer.elbo import ELBO
from pyro.infer.enum import get_importance_trace
from pyro.poutine.trace_struct import Trace
from pyro.util import warn_if_nan
from torch import Tensor

from ...errors import InvalidArgument, InvalidGuide
from ...runtime.arguments import flag
from .parameters import announce_parameters


@final
class ToGoELBO(ELBO):
    r"""Policy gradient as a Pyro loss: reward to go, entropy to go and a learned baseline.

    With weights $w_t$ (the scale of step t, such as γ^t) the objective is
    $J = E_q[\sum_t w_t (r_t/\tau + \log\rho_t - \log \pi_t)]$, and its gradient

    $$\nabla J = E_q\Bigl[\sum_t w_t\, \nabla \log \pi_t(a_t \mid s_t)\, (G_t - b(s_t))\Bigr], \qquad
    G_t = \sum_{u \ge t} \tfrac{w_u}{w_t} \bigl(r_u/\tau + \log \rho_u - \log \pi_u\bigr)$$

    exactly; one run of the guide gives an unbiased estimate of it. Three terms are left out, because their expectation
    is zero: $\nabla \log \pi_t$ times the terms before t, times any $b(s_t)$, and the direct gradient of
    $-\log \pi_t$ in the objective, $-E[\nabla \log \pi_t \mid s_t] = 0$. The gradient of the entropy is in $G_t$, whose
    first term contains $-\log \pi_t$ itself.

    It works for any model and guide whose sites have the same order. The reward may come from outside of torch, where
    `TraceGraph_ELBO`, which follows tensors from actions to rewards, finds no path and drops it. $G_t$ weighs every
    site of the guide that has parameters: each `action_t`, and each outcome if the guide has its own dynamics.
    Reparameterised sites are refused: outside of torch their path has no gradient. A parameter of the model gets the
    gradient of the log-density that contains it.

    The baseline b is fitted together with the guide; its loss is the mean square of $G_t - b(s_t)$ over the steps that
    were taken, in nats². If `infer["truncated"]` of `state_t` says that an episode was truncated there, b replaces
    the rest of the return, so the gradient is only as good as b is there. Without a baseline the episode is treated as
    ended, and the objective has a finite horizon. `loss` returns the value of the episodes without this correction.

    With `is_hard` the terms $\log \rho_t - \log \pi_t$ are left out of the objective and of $G_t$, so that it is
    $E_q[\sum_t w_t r_t/\tau]$, the expectation of the factors alone: REINFORCE, the limit at temperature 0 up to the
    unit. It is then not a bound of the evidence.

    Use it as `SVI(model, guide, optim, ToGoELBO(baseline))`. One optimiser updates both.

    References:
        [williams1992], [sutton2000], [levine2018]
    """

    objective_name = "ELBO"

    def __init__(
        self,
        baseline: Callable[..., Any] | None = None,
        num_particles: int = 1,
        is_hard: bool = False,
        **arguments: Any,
    ) -> None:
        """Store the baseline.

        Args:
            baseline: a module from the value of a site `state_t` to $b(s_t)$, in nats, one number per state (a last
                axis of length 1 is allowed). It is used for the guide's `action_t` sites.
            num_particles: the number of runs of the guide to average.
            is_hard: whether the objective is the expectation of the factors alone, without divergences.
            **arguments: those of any Pyro ELBO.

        Raises:
            InvalidArgument: if the baseline is not a module.
        """
        super().__init__(num_particles=num_particles, **arguments)
        if baseline is not None and not isinstance(baseline, torch.nn.Module):
            kind = baseline.__name__ if isinstance(baseline, type) else type(baseline).__name__
            raise InvalidArgument(
                f"`baseline` must be a torch.nn.Module from states to numbers, but is {kind}. Try "
                "torch.nn.Linear(features, 1)."
            )
        self.baseline, self.is_hard = baseline, flag("is_hard", is_hard)
        self._named = torch.nn.ModuleDict({} if baseline is None else {"baseline": baseline})

    def __repr__(self) -> str:
        """The class of the baseline and the number of particles."""
        baseline = "" if self.baseline is None else f"{type(self.baseline).__name__}, "
        hard = ", is_hard=True" if self.is_hard else ""
        return f"ToGoELBO({baseline}num_particles={self.num_particles}{hard})"

    def loss(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
        """Minus the estimate of the ELBO, in nats."""
        with torch.no_grad():
            return (
                sum(float(-self._objective(*pair)) for pair in self._get_traces(model, guide, args, kwargs))
                / self.num_particles
            )

    def differentiable_loss(
        self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Float[Tensor, ""]:
        """Return minus an estimate of the ELBO, in nats, differentiable in guide, model and baseline."""
        announce_parameters(self._named)  # by a name that no parameter of the guide has
        losses = [self._differentiable(*pair) for pair in self._get_traces(model, guide, args, kwargs)]
        return torch.stack(losses).sum() / self.num_particles

    def loss_and_grads(self, model: Callable[..., Any], guide: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
        """Return minus an estimate of the ELBO, in nats, and add its gradients to the `.grad` of the parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        warn_if_nan(loss, "loss")
        if loss.requires_grad:
            loss.backward(retain_graph=self.retain_graph)
        return float(loss.detach())

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def _differentiable(self, model_trace: Trace, guide_trace: Trace) -> Float[Tensor, ""]:
        steps = [each.hard() if self.is_hard else each for each in _steps(model_trace, guide_trace)]
        baselines = self._baselines(steps)
        surrogate = torch.zeros(())
        errors: list[Tensor] = []
        counts: list[Tensor] = []
        ahead, unit = torch.zeros(()), steps[-1].scale if steps else 1.0
        for step in reversed(steps):
            ahead = step.gain.detach() + ahead * (unit / step.scale)
            unit = step.scale
            if step.name in baselines and step.truncated is not None:
                ahead = torch.where(step.truncated, ahead + baselines[step.name].detach(), ahead)
            if step.own_gain is not None:  # a parameter of the model
                surrogate = surrogate + (step.scale * step.own_gain).sum()
            if step.score is None:
                continue
            surprise = ahead
            if (at := _state_of(step.name)) in baselines:
                b = baselines[at]
                surprise = ahead - b.detach()
                taken = torch.ones_like(b, dtype=torch.bool) if step.mask is None else step.mask.expand_as(b)
                errors.append(torch.where(taken, ahead - b, 0.0).square().sum())
                counts.append(taken.sum())
            surrogate = surrogate + (step.scale * step.score * surprise).sum()
        if errors:
            surrogate = surrogate - torch.stack(errors).sum() / torch.stack(counts).sum().clamp(min=1)
        return surrogate.detach() - surrogate - self._objective(model_trace, guide_trace).detach()

    def _objective(self, model_trace: Trace, guide_trace: Trace) -> Tensor:
        """The ELBO of one run, in nats; or the factors alone."""
        if not self.is_hard:
            return torch.as_tensor(model_trace.log_prob_sum()) - torch.as_tensor(guide_trace.log_prob_sum())
        guided = guide_trace.nodes
        return torch.as_tensor(model_trace.log_prob_sum(lambda name, _: name not in guided))

    def _baselines(self, steps: "list[_Site]") -> dict[str, Float[Tensor, "*batch"]]:
        """b of every `state_t`, by the name of the site, computed in one pass through the network."""
        if self.baseline is None:
            return {}
        states = [step for step in steps if step.name.startswith("state_")]
        asked = [_state_of(step.name) for step in steps if step.score is not None and step.name.startswith("action_")]
        missing = [name for name in asked if name not in {state.name for state in states}]
        if missing or not states:
            raise InvalidGuide(
                f"`baseline` needs the state of every action, but there is no site {(missing or ['state_0'])[0]!r}. "
                "Sample the state before the action in model and guide, or leave the baseline out."
            )
        batch = states[0].gain.shape
        values = torch.stack([state.value for state in states])
        rows = values.flatten(0, len(batch))
        found = self.baseline(rows)
        if found.shape not in ((len(rows),), (len(rows), 1)):
            raise InvalidArgument(
                f"`baseline` must give one number for each of {len(rows)} states, but gives {tuple(found.shape)}. Its "
                "last layer needs one output."
            )
        each = found.reshape(len(states), *batch)
        return {state.name: b for state, b in zip(states, each, strict=True)}


class _Site(NamedTuple):
    """A site of the model that the guide samples too, or that is observed.

    `gain` is its contribution to the objective, in nats, for a scale of 1; 0 where it is masked.
    """

    name: str
    value: Tensor
    gain: Float[Tensor, "*batch"]
    scale: float | Tensor
    mask: Tensor | None
    score: Float[Tensor, "*batch"] | None
    own_gain: Float[Tensor, "*batch"] | None
    truncated: Tensor | None
    is_guided: bool

    def hard(self) -> "_Site":
        """The site without its divergence: only factors contribute to the objective."""
        return self._replace(gain=torch.zeros_like(self.gain), own_gain=None) if self.is_guided else self


def _steps(model_trace: Trace, guide_trace: Trace) -> list[_Site]:
    """The sites in order; no site depends on a later one.

    Raises:
        InvalidGuide: if the guide has another order, a site that the model lacks, or one that is reparameterised.
    """
    model: dict[str, Any] = {name: site for name, site in model_trace.nodes.items() if site.get("type") == "sample"}
    guide: dict[str, Any] = {name: site for name, site in guide_trace.nodes.items() if site.get("type") == "sample"}
    order = [name for name in model if name in guide]
    if order != list(guide):
        other = next((here for here, there in zip(guide, [*order, None], strict=False) if here != there), None)
        raise InvalidGuide(
            f"The guide must sample the model's sites in the model's order, but {other!r} is at another position or "
            "not in the model. Use one order in both: the gradient of a choice depends on the sites after it."
        )
    steps = [_site(name, site, guide.get(name)) for name, site in model.items()]
    shapes = {step.gain.shape: step.name for step in steps}
    if len(shapes) > 1:
        (one, first), (other, second) = list(shapes.items())[:2]
        raise InvalidGuide(
            f"All sites must be in the same plates, but {first!r} has batch shape {tuple(one)} and {second!r} has "
            f"{tuple(other)}. Put all of an episode into its plate."
        )
    return steps


def _site(name: str, site: Any, guided: Any) -> _Site:
    own = scale_and_mask(site["unscaled_log_prob"], 1.0, site["mask"])
    own_gain = own if own.requires_grad else None
    mask, truncated = _tensor(site["mask"], own), site["infer"].get("truncated")
    if guided is None:
        return _Site(name, site["value"], own, site["scale"], mask, None, own_gain, truncated, False)
    if guided["value"].requires_grad:
        raise InvalidGuide(
            f"`{name}` must not be reparameterised: outside of torch that path has no gradient, which would go "
            "unnoticed. Call has_rsample_(False) on its distribution, or on the base before .to_event(1)."
        )
    log_q = scale_and_mask(guided["unscaled_log_prob"], 1.0, guided["mask"])
    own, own_gain = (x if x is None else x * (site["scale"] / guided["scale"]) for x in (own, own_gain))
    assert own is not None
    score = log_q if log_q.requires_grad else None
    return _Site(name, guided["value"], own - log_q, guided["scale"], mask, score, own_gain, truncated, True)


def _tensor(mask: Any, like: Tensor) -> Tensor | None:
    """The mask as a tensor or None; Pyro's masks may be plain booleans."""
    return torch.full_like(like, mask, dtype=torch.bool) if isinstance(mask, bool) else mask


def _state_of(name: str) -> str:
    """The name of the site of the state in which an action is chosen; empty for other sites."""
    return name.replace("action_", "state_") if name.startswith("action_") else ""
