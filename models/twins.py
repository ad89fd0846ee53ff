"""Deterministic twins: the same problems without randomness, where free and clamped must agree."""

import gymnasium
import torch

from pgm_control.problems.mdp import TabularMDP, require_mdp

from .frozen_lake import lake_id
from .lottery import lottery
from .restaurant import restaurant
from .risky_path import risky_path
from .windy_bridge import windy_bridge


def deterministic_twin(mdp: TabularMDP) -> TabularMDP:
    r"""The problem in which the most likely outcome of `mdp` always happens, with that outcome's reward.

    Outcomes of one state and action with the same successor and reward count as one event, and their probabilities are
    added before the comparison. Among equally likely events the middle one in the order listed is chosen, and of two
    middle ones the earlier. The start is the most likely one, by the same rule. The discount stays the same.

    With one possible outcome everywhere optimism has no effect: the posteriors for all β are the same.

    Joint density
        $$\tilde p = [s_0 = s^*] \prod_{t=0}^{T-1} \rho(a_t \mid s_t)\, \exp(r(s_t, a_t, k^*(s_t, a_t)) / \tau)$$

    States, actions, outcomes and rewards, horizon
        Those of `mdp`, with one outcome for each state and action.

    Known exactly
        Policy and objective do not depend on the β of the start and of the dynamics; the clamped ELBO is log p(O) if γ
        = 1.
    """
    require_mdp("mdp", mdp)
    p, successor, reward = mdp.probability, mdp.successor, mdp.reward
    same = (successor[..., :, None] == successor[..., None, :]) & (reward[..., :, None] == reward[..., None, :])
    pooled = (same * p[..., None, :]).sum(-1)
    repeats = (same & (p[..., None, :] > 0)).tril(-1).any(-1)  # an event is represented by its first outcome
    chosen = _middle_of_likeliest(torch.where((p > 0) & ~repeats, pooled, torch.zeros_like(p)))[..., None]
    start = _middle_of_likeliest(mdp.initial)
    return mdp.replace(
        initial=torch.zeros_like(mdp.initial).scatter(0, start[None], 1.0),
        probability=torch.ones_like(p[..., :1]),
        successor=successor.gather(-1, chosen),
        reward=reward.gather(-1, chosen),
        factors=None,
    )


def _middle_of_likeliest(probability: torch.Tensor) -> torch.Tensor:
    """The index of the largest entry along the last axis; of n equal ones the ⌈n/2⌉-th."""
    rounding = 16 * torch.finfo(probability.dtype).eps  # Gymnasium's thirds differ by a few eps
    tied = probability >= probability.amax(-1, keepdim=True) - rounding
    middle = (tied.sum(-1, keepdim=True) + 1) // 2
    return (tied & (tied.cumsum(-1) == middle)).int().argmax(-1)


def restaurant_twin() -> TabularMDP:
    """The twin of `restaurant`: both restaurants always serve a good dinner, so neither is preferred."""
    return deterministic_twin(restaurant())


def lottery_twin() -> TabularMDP:
    """The twin of `lottery`: the ticket always loses."""
    return deterministic_twin(lottery())


def risky_path_twin(horizon: int = 5) -> TabularMDP:
    """The twin of `risky_path`: the jump always reaches the goal, which is as likely as the pit but listed first."""
    return deterministic_twin(risky_path(horizon))


def windy_bridge_twin(horizon: int = 12) -> TabularMDP:
    """The twin of `windy_bridge`: the foot never slips and there is no wind."""
    return deterministic_twin(windy_bridge(horizon))


def slippery_cliff_twin(horizon: int = 50) -> TabularMDP:
    """The twin of `slippery_cliff`: Gymnasium's `CliffWalking-v1`, where every step goes as intended.

    All three directions are equally likely; the twin keeps the intended one. `deterministic_twin` gives the same except
    in the cells of the cliff itself, which are never visited.
    """
    return TabularMDP.from_gymnasium(gymnasium.make("CliffWalking-v1"), horizon)


def frozen_lake_twin(size: str = "4x4", horizon: int | None = None) -> TabularMDP:
    """The twin of `frozen_lake`: the same lake with `is_slippery=False`, where every step goes as intended.

    All three directions are equally likely; the twin keeps the intended one. `deterministic_twin` would count two holes
    as one event, `ended`, so that an agent walking straight on between two holes would fall into one.
    """
    return TabularMDP.from_gymnasium(gymnasium.make(lake_id(size), is_slippery=False), horizon)
