"""Policies with a memory, in the model's own dynamics."""

from jaxtyping import Float, Int
from torch import Tensor

from ..runtime.arguments import whole
from .blocks import MarkovModel, require_model
from .process import MarkovProcess, Process


class ClampedProcess(Process):
    r"""A policy that depends on the history; start distribution, dynamics and survival are the model's.

    $$q = p(s_0) \prod_t \pi(a_t \mid s_0, a_0, k_0, \dots, s_t)\, p(k_t \mid s_t, a_t)$$

    To write one, inherit and define two methods: `log_policy` gives the action probabilities by time, state and memory;
    `remember` computes the memory after a step. The memory of a trajectory is a row of numbers, initially zero; define
    `begin` if it depends on the first state. Example: an agent that repeats its last action nine times in ten:

        class Persistent(ClampedProcess):
            def log_policy(self, t, state, memory):
                policy = self.prior.policy[t, state]  # ρ(a|s)
                if t > 0:
                    policy = 0.1 * policy + 0.9 * torch.eye(policy.shape[-1])[memory[:, 0].long()]
                return policy.log()

            def remember(self, t, state, action, outcome, survives, memory):
                return action[:, None].to(memory)

        print(estimate(model, Persistent(model)))

    `estimate`, `log_weights`, `smc` and `iwae_bound` accept it directly. To fit one, write a `MemoryGuide` that returns
    it from `process()`.

    Attributes:
        prior: the factors of the model: start, action prior and dynamics.
    """

    def __init__(self, model: MarkovModel, memory_size: int = 1) -> None:
        """Take the start, the dynamics and survival from the model.

        Args:
            model: the tabular model.
            memory_size: how many numbers the memory of a trajectory has initially, all zero.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        require_model(model, timed=True)
        self.prior = model.blocks()
        self.memory_size = whole("memory_size", memory_size, 0)
        self._world = MarkovProcess(self.prior)

    def log_initial(self) -> Float[Tensor, " state"]:
        """log p(s_0), in nats."""
        return self._world.log_initial()

    def begin(self, state: Int[Tensor, " batch"]) -> Float[Tensor, "batch memory"]:
        """The memory after the first state: zeros."""
        return self.prior.log_initial.new_zeros(len(state), self.memory_size)

    def log_dynamics(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch memory"],
    ) -> Float[Tensor, "batch outcome"]:
        """log p(k|s, a), in nats."""
        return self._world.log_dynamics(t, state, action, memory)

    def survival(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch memory"],
    ) -> Float[Tensor, " batch"]:
        """The survival probability of a step, the discount γ."""
        return self._world.survival(t, state, action, outcome, memory)
