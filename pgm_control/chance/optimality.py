r"""The likelihood of the optimality variable of a step: how a reward becomes a factor of the density.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [toussaint2006] M. Toussaint and A. Storkey, Probabilistic inference for solving discrete and continuous state
        Markov decision processes. International Conference on Machine Learning, pages 945–952, 2006.
        doi:10.1145/1143844.1143963
"""

import abc
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidProblem
from ..runtime.arguments import shown
from ..runtime.array_like import ArrayLike, numbers


class Optimality(abc.ABC):
    r"""The likelihood of the optimality variable of a step; inherit from it for your own.

        class Saturating(Optimality):
            def log_likelihood(self, reward, temperature):
                return torch.tanh(reward / temperature)

    One that `is_timed` returns the log-likelihoods of all steps, (time, state, action, outcome), for rewards (state,
    action, outcome), and has its own `final_log_likelihood`.
    """

    @property
    def is_timed(self) -> bool:
        """Whether it depends on time by more than the reward and the temperature."""
        return False

    @abc.abstractmethod
    def log_likelihood(self, reward: Tensor, temperature: float | Tensor) -> Tensor:
        """The log-likelihood of steps that were optimal, in nats, in the shape of `reward`; below +inf.

        Either argument may have axes of a batch in front, and neither may be changed.
        """

    def final_log_likelihood(self, reward: Tensor | None, temperature: float | Tensor) -> Tensor | None:
        """That of the last state, from its final reward; None without a final reward: there is no factor."""
        return None if reward is None else self.log_likelihood(reward, temperature)

    def __repr__(self) -> str:
        """The class."""
        return f"{type(self).__name__}()"


@final
@dataclass(frozen=True)
class ExponentialOptimality(Optimality):
    r"""$p(O_t = 1) \propto \exp(r/\tau)$, the default: log-likelihoods are rewards in nats [levine2018].

    Any real reward is allowed, so that it need not be a probability.

    References:
        [levine2018]
    """

    def log_likelihood(self, reward: Tensor, temperature: float | Tensor) -> Tensor:
        r"""$r/\tau$, in nats."""
        return reward / temperature


@final
@dataclass(frozen=True)
class LogisticOptimality(Optimality):
    r"""$p(O_t = 1) = \sigma(r/\tau) = 1/(1 + e^{-r/\tau})$, a probability for any reward.

    A reward of 0 counts too, with a factor of 1/2 at each step; it saturates at 1 for large rewards. At rewards far
    below 0 it is the exponential likelihood.

        TabularModel(mdp, temperature=1.0, optimality=LogisticOptimality())
    """

    def log_likelihood(self, reward: Tensor, temperature: float | Tensor) -> Tensor:
        r"""$\log \sigma(r/\tau)$, in nats."""
        return torch.nn.functional.logsigmoid(reward / temperature)


@final
@dataclass(frozen=True, eq=False, repr=False)
class TableOptimality(Optimality):
    r"""A log-likelihood of optimality for each outcome, apart from the reward and the temperature.

    With it a goal can be a condition, such as "the goal is reached" [toussaint2006], while returns stay sums of
    `reward`.

        TabularModel(mdp, optimality=TableOptimality(torch.where(mdp.successor == goal, 0.0, -1.0)))

    Attributes:
        table: $\log p(O_t = 1 \mid s, a, k)$, in nats; −inf forbids the outcome.
        final: that of the last state, in nats; None for none, whatever the final reward.

    References:
        [toussaint2006]
    """

    table: Float[Tensor, "*time state action outcome"]
    final: Float[Tensor, " state"] | None = None

    def __init__(self, log_likelihood: ArrayLike, final: ArrayLike | None = None) -> None:
        """Check and store the tables.

        Args:
            log_likelihood: shape (state, action, outcome), or (time, state, action, outcome), in nats; below +inf.
            final: shape (state,), in nats.

        Raises:
            InvalidProblem: if a table has other axes, or an entry is nan or +inf.
        """
        for name, given, axes in (("log_likelihood", log_likelihood, (3, 4)), ("final", final, (1,))):
            if given is None and name == "final":
                found = None
            else:
                found = numbers(name, given, InvalidProblem)
                found = found if found.dtype == torch.float32 else found.to(torch.float64)
                if found.ndim not in axes or not bool((found.detach() < torch.inf).all()):
                    shape = "(state, action, outcome), or with time in front" if name != "final" else "(state,)"
                    raise InvalidProblem(
                        f"`{name}` must be log-likelihoods in nats, numbers below +inf of shape {shape}, but is "
                        f"{shown(given)}. −inf forbids an outcome."
                    )
            object.__setattr__(self, "table" if name != "final" else "final", found)

    @property
    def is_timed(self) -> bool:
        """Whether the table depends on time."""
        return self.table.ndim > 3

    def log_likelihood(self, reward: Tensor, temperature: float | Tensor) -> Tensor:
        """The table, in nats, on the device and in the dtype of `reward`."""
        return self.table.to(reward)

    def final_log_likelihood(self, reward: Tensor | None, temperature: float | Tensor) -> Tensor | None:
        """The final table, in nats; None without one."""
        return self.final

    def __repr__(self) -> str:
        """The shape of the table."""
        return f"TableOptimality({tuple(self.table.shape)})"
