"""The factors of a Markov distribution over trajectories."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ..chance.optimism import Optimism
from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP
from ..text.one_line import one_line


@final
@dataclass(frozen=True, eq=False)
class Blocks:
    r"""Who decides what: the factors of $q(s_0) \prod_t q_t(a_t \mid s_t)\, q_t(k_t \mid s_t, a_t)$.

    Everything is a normalised log-probability, in nats; −inf is impossible.

    Attributes:
        log_initial: $\log q(s_0)$.
        log_policy: $\log \pi_t(a \mid s)$.
        log_dynamics: $\log q_t(k \mid s, a)$.
        log_survival: log-probability of surviving step t given that it leads to a state, where that differs from the
            model's γ; None where survival is clamped.
    """

    log_initial: Float[Tensor, " state"]
    log_policy: Float[Tensor, "time state action"]
    log_dynamics: Float[Tensor, "time state action outcome"]
    log_survival: Float[Tensor, "time next_state"] | None = None

    __repr__ = one_line


@runtime_checkable
class HasBlocks(Protocol):
    """A model, a `MarkovGuide`, a `Posterior`: anything that factors as `Blocks`."""

    def blocks(self) -> Blocks:
        """The factors, freshly computed; differentiable where they have parameters."""
        ...


@runtime_checkable
class Assignable(HasBlocks, Protocol):
    """A guide whose blocks are tables that can be set: what `fit` asks of it beyond the gradients of SVI."""

    @property
    def optimism(self) -> Optimism:
        """β of each block: 1 for those of chance that are its own, 0 for those it clamps, else its price.

        It is fitted to the objective $J_β$, which is the ELBO if every β is 0 or 1.
        """
        ...

    def optimum(self) -> Blocks:
        """The best blocks of its kind, exactly."""
        ...

    def assign(self, blocks: Blocks) -> None:
        """Set the parameters so that `blocks()` gives these, in what this guide may change; the rest is ignored.

        Raises:
            InvalidGuide: if a block puts mass where the guide has none.
        """
        ...


@runtime_checkable
class MarkovModel(HasBlocks, Protocol):
    """What the inference asks of a tabular model; `TabularModel` is one."""

    def __call__(self) -> None:
        """Run as a Pyro program."""
        ...

    @property
    def mdp(self) -> TabularMDP:
        """The problem."""
        ...

    @property
    def temperature(self) -> float:
        """τ, in reward units per nat."""
        ...

    @property
    def action_prior(self) -> Float[Tensor, "state action"]:
        """ρ(a|s), probabilities."""
        ...


_models: set[type] = set()  # that have passed: to ask a protocol takes longer than to solve a small problem


def require_model(model: object, in_nats: bool = False) -> None:
    """Refuse what is not a tabular model; in nats, also a temperature of 0.

    Raises:
        InvalidArgument: saying what it is, and the remedy.
    """
    if type(model) not in _models and not isinstance(model, MarkovModel):
        kind = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        reason = f" {model.why_clamped()}" if hasattr(model, "why_clamped") else ""  # pyright: ignore[reportAttributeAccessIssue]
        raise InvalidArgument(
            f"`model` must be a tabular model, such as TabularModel(mdp, temperature), but is {kind}.{reason}"
        )
    _models.add(type(model))
    if in_nats and model.temperature == 0:  # pyright: ignore[reportAttributeAccessIssue]
        raise InvalidArgument(
            "`model` must have a positive temperature, but has 0, where a nat is worth nothing. Take a small one, or "
            "evaluate the policy in TabularModel(mdp, temperature) with another: its returns are the same."
        )
