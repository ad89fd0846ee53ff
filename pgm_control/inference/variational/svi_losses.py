"""Exact Pyro losses for a tabular model and a guide whose factors are tables, without sampling or tracing."""

import abc
from collections.abc import Callable
from typing import Any, final

import torch
from pyro.infer.elbo import ELBO
from torch import Tensor

from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidGuide
from ...programs.auxiliary import HasReverse, with_reverse
from ...trajectories.blocks import HasBlocks, MarkovModel
from .auxiliary_elbo import auxiliary_elbo
from .elbo import elbo, objective_of
from .latent_blocks import HasLatentBlocks
from .parameters import announce_parameters, announced
from .renyi import renyi, require_steep


def programs_for(loss: object, model: Callable[[], Any], guide: Callable[[], Any]) -> tuple[Any, Any]:
    """The model and the guide as Pyro runs them for a loss: with the reverse model, if the guide has one.

    A loss that is computed without sampling takes them as they are.
    """
    if isinstance(loss, ExactLoss):
        return model, guide
    return with_reverse(model, guide) if isinstance(guide, HasReverse) else (model, announced(guide))


class ExactLoss(ELBO, abc.ABC):
    """A Pyro loss computed without sampling: a bound of a tabular model and a guide, and its exact gradient.

    Attributes:
        objective_name: the name of the bound, for messages.
    """

    objective_name = "bound"

    @abc.abstractmethod
    def require(self, guide: object) -> None:
        """Refuse a guide that this loss does not know, with InvalidGuide."""

    @abc.abstractmethod
    def bound(self, model: MarkovModel, guide: Any) -> Tensor:
        """The bound that the guide maximises, in nats, a differentiable scalar."""

    def loss(self, model: Any, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> float:
        """Minus the bound, in nats."""
        with torch.no_grad():
            return float(self.differentiable_loss(model, guide))

    def differentiable_loss(self, model: Any, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> Tensor:
        """Minus the bound, in nats, with its gradient."""
        self.require(guide)
        if isinstance(guide, torch.nn.Module):
            announce_parameters(guide)
        return -self.bound(model, guide)

    def loss_and_grads(self, model: Any, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> float:
        """Minus the bound, in nats; adds its gradient to the guide's parameters."""
        loss = self.differentiable_loss(model, guide)
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())

    def __repr__(self) -> str:
        """The class, with its optimism or order if it has one."""
        given = getattr(self, "optimism", getattr(self, "order", None))
        return f"{type(self).__name__}({'' if given is None else given})"

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} integrates over trajectories exactly and never traces one.")


class MarkovLoss(ExactLoss):
    """A Pyro loss for a model and a guide with factors: an exact bound and its exact gradient.

    Use it as any other: `SVI(model, guide, optim, loss=MarkovELBO())`. To write one, inherit and define `bound`.
    """

    def require(self, guide: object) -> None:
        """Refuse a guide without `blocks()`, with InvalidGuide."""
        if not isinstance(guide, HasBlocks):
            raise InvalidGuide(
                f"{type(self).__name__} needs a guide with `blocks()`, such as a MarkovGuide. For any other take "
                "Trace_ELBO or TraceEnum_ELBO."
            )


@final
class MarkovELBO(MarkovLoss):
    """The exact ELBO. It equals `TraceEnum_ELBO` on the same pair."""

    objective_name = "ELBO"

    def bound(self, model: MarkovModel, guide: HasBlocks) -> Tensor:
        """The ELBO, in nats."""
        return elbo(model, guide.blocks())


@final
class MarkovObjective(MarkovLoss):
    r"""The exact objective $J_\beta$, each block charged its KL over β (see `infer`).

    A `DialGuide` has the same β and reverses the gradient of the dynamics where β is negative, so that they minimise.
    """

    objective_name = "objective J_β"

    def __init__(self, optimism: OptimismLike) -> None:
        """Store β, which must be that of the guide, so that blocks that it clamps are not charged."""
        super().__init__()
        self.optimism = Optimism.of(optimism)

    def bound(self, model: MarkovModel, guide: HasBlocks) -> Tensor:
        """$J_β$, in nats."""
        return objective_of(model, guide.blocks(), self.optimism)


@final
class MarkovRenyi(MarkovLoss):
    r"""The exact Rényi bound of order α = 1 − β (see `renyi_bound`): optimism for a clamped guide.

    The best clamped guide has the policy of `infer(model, Optimism(β, β, β))`, although its dynamics are the true ones:
    the order of the bound supplies the optimism. For β > 1 the bound is an upper one and is minimised.
    """

    objective_name = "Rényi bound"

    def __init__(self, order: float) -> None:
        """Store the order.

        Raises:
            InvalidArgument: for order 0, β = 1, where the bound does not depend on the policy.
        """
        super().__init__()
        self.order = require_steep(order)

    def bound(self, model: MarkovModel, guide: HasBlocks) -> Tensor:
        """The bound, in nats; the gradient of an upper bound is reversed."""
        found = renyi(model, guide.blocks(), self.order)
        return found if self.order > 0 else 2.0 * found.detach() - found


@final
class AuxiliaryELBO(ExactLoss):
    """The exact auxiliary bound of a guide with a latent variable at each step, such as `OptionGuide`.

    It is at most the ELBO of the trajectories without the latent variables: see `auxiliary_elbo`.
    """

    objective_name = "auxiliary bound"

    def require(self, guide: object) -> None:
        """Refuse a guide without `latent_blocks()`, with InvalidGuide."""
        if not isinstance(guide, HasLatentBlocks):
            raise InvalidGuide(
                "AuxiliaryELBO needs a guide with `latent_blocks()`, such as an OptionGuide. For any other take "
                "Trace_ELBO."
            )

    def bound(self, model: MarkovModel, guide: HasLatentBlocks) -> Tensor:
        """The bound with the best reverse model, in nats."""
        return auxiliary_elbo(model, guide)
