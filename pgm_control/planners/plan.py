"""The result of planning: plans, their weights, and whether these can be trusted."""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..runtime.status import Status
from ..text.wording import amount

HALF = 0.5  # of the weight, beyond which one draw alone decides
FEW = 4  # draws, of fewer than which one often has more than half of the weight


@final
class PlanStatus(Status):
    """How planning ended."""

    complete = "All plans were simulated and weighted."
    degenerate = (
        "One draw carries more than half of the weight: the plan is decided by it, and so is every number that "
        "depends on an average. Raise `num_plans` or `num_noise_samples`, or choose a higher temperature or an "
        "optimism nearer to 0; where the objective is unbounded no number of draws suffices."
    )


@final
@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    r"""Weighted plans for each episode, as a planner found them.

    Attributes:
        status: `complete`, or `degenerate` if one draw decides in some episode.
        time: t, the step of the first action.
        action: the first action of the plan that is played by default: of `MPPI` and `SMCPlanner` the weighted mean,
            of `CEM` the mean of the last proposal; for tables the most probable action.
        actions: that plan.
        plans: all plans that were simulated in the last sweep.
        log_weights: their normalised log-weights, in nats.
        effective_sample_size: 1/Σ w² of the plans; of `SMCPlanner` that of the families that share a first action.
        largest_weight: the largest weight of a plan, or of a family.
        largest_noise_weight: the share of the largest draw in the average over the noises of a plan, averaged over
            plans by weight: 1/M at optimism 0, and near 1 where the average is that of one draw. Of `SMCPlanner` it is
            the largest of its steps.
        temperature: τ that was used, in reward units per nat; for an `ESS` the one that was found.
        value: the estimate of the value of the state, in reward units: τ log of the mean of the weights, which is the
            optimum of $J_β$ over plans that do not see later states. `SMCPlanner` estimates that over policies, at
            optimism 1 with any terminal value and elsewhere with the exact one; with others it means little. It is nan
            for `CEM`, which maximises.
        num_simulated_steps: the number of steps of the model that were simulated, of all episodes together.
        centre: the plan that the next proposal is centred on; for tables the probabilities of actions by step.
    """

    status: PlanStatus
    time: int
    action: Tensor
    actions: Tensor
    plans: Tensor
    log_weights: Float[Tensor, "episode plan"]
    effective_sample_size: Float[Tensor, " episode"]
    largest_weight: Float[Tensor, " episode"]
    largest_noise_weight: Float[Tensor, " episode"]
    temperature: Float[Tensor, " episode"]
    value: Float[Tensor, " episode"]
    num_simulated_steps: int
    centre: Tensor

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON or a data frame."""
        names = "action", "actions", "effective_sample_size", "largest_weight", "largest_noise_weight", "temperature"
        found = {name: getattr(self, name).tolist() for name in (*names, "value")}
        return {"status": self.status.name, "time": self.time, **found, "num_simulated_steps": self.num_simulated_steps}

    def __repr__(self) -> str:
        """The status, the sizes, and the effective sample size."""
        episodes, count = self.log_weights.shape
        size, largest = float(self.effective_sample_size.mean()), float(self.largest_weight.amax())
        return (
            f"Plan({self.status.name}; {episodes} episode{'s' * (episodes > 1)}, {count} plans of "
            f"{self.actions.shape[1]} steps from t = {self.time}, effective {amount(size)}, largest weight "
            f"{amount(largest)}, temperature {amount(float(self.temperature.mean()))})"
        )


def status_of(weight: Tensor, noise: Tensor, plans: int, noises: int, is_unbiased: bool) -> PlanStatus:
    """Whether one draw carries more than half of the weight.

    Args:
        weight: the largest weight of a plan, by episode.
        noise: the largest share of a draw in the average over noises, by episode.
        plans, noises: their numbers.
        is_unbiased: whether the average over noises needs no large number, which is so at optimism 1.
    """
    of_plans = plans >= FEW and bool((weight > HALF).any())
    of_noises = noises >= FEW and not is_unbiased and bool((noise > HALF).any())
    return PlanStatus.degenerate if of_plans or of_noises else PlanStatus.complete


def drawn_rows(log_weights: Float[Tensor, "episode plan"]) -> Tensor:
    """The index of a plan of each episode, drawn by weight from torch's global generator."""
    return torch.multinomial(log_weights.exp(), 1)[:, 0]
