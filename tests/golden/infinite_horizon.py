"""Inference without a horizon: value iteration by each method, policies, gains and growth rates."""

from collections.abc import Callable
from typing import Any

import torch

from pgm_control import (
    TabularModel,
    average_reward,
    freed_survival,
    growth_rate,
    policy_evaluation,
    stationary_distribution,
    value_iteration,
    zoo,
)

from .entries import attributes

DISCOUNT = 0.95


def cases() -> dict[str, Callable[[], Any]]:
    """Results by name of the function, on problems of the zoo."""
    lake, bridge = zoo()["frozen_lake"].build(), zoo()["windy_bridge"].build()

    def values(
        mdp: Any, temperature: float, optimism: float, discount: float = DISCOUNT, prior: Any = None, **options: Any
    ) -> dict[str, Any]:
        model = TabularModel(mdp.replace(discount=discount), temperature, prior)
        found = value_iteration(model, optimism, **options)
        return attributes(found, "v q policy error_bound num_sweeps status span_history")

    def lake_of(discount: float, temperature: float = 1.0) -> TabularModel:
        return TabularModel(lake.replace(discount=discount), temperature)

    def gain(mdp: Any, temperature: float = 0.0, optimism: float = 0.0) -> dict[str, Any]:
        found = average_reward(TabularModel(mdp, temperature), optimism)
        return attributes(found, "gain lower upper bias policy num_sweeps status")

    policy = torch.softmax(torch.arange(4 * lake.num_states).reshape(-1, 4).double() % 7 / 3, -1)
    masked = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64).expand(lake.num_states, 4).contiguous()
    ending = TabularModel(bridge.replace(discount=0.9), 1.0)
    return {
        **{
            f"value_iteration_{method}": lambda method=method: {
                f"optimism {beta:g}": values(lake, 0.05, beta, method=method) for beta in (-0.5, 0.0, 1.0)
            }
            for method in ("auto", "value_iteration", "gauss_seidel", "modified_policy_iteration", "anderson")
        },
        "value_iteration_hard": lambda: values(lake, 0.0, 0.0),
        "value_iteration_sup_norm": lambda: values(bridge, 1.0, 0.3, stopping="sup_norm"),
        "value_iteration_masked": lambda: values(lake, 0.05, 0.5, prior=masked),
        "value_iteration_undiscounted": lambda: values(bridge, 1.0, 0.0, discount=1.0, max_sweeps=200),
        "value_iteration_cliff": lambda: values(zoo()["slippery_cliff"].build(), 2.0, -0.2),
        "policy_evaluation": lambda: {
            f"temperature {tau:g}": attributes(
                policy_evaluation(lake_of(DISCOUNT, tau), policy), "v q error_bound num_sweeps status"
            )
            for tau in (0.0, 0.1)
        },
        "stationary_distribution": lambda: {
            f"discount {gamma:g}": attributes(
                stationary_distribution(lake_of(gamma), policy), "probability residual error_bound status"
            )
            for gamma in (0.9, 1.0)
        },
        "average_reward": lambda: {"hard": gain(bridge), "soft": gain(bridge, 1.0, 0.5), "lake": gain(lake, 0.05)},
        "growth_rate": lambda: attributes(
            growth_rate(TabularModel(bridge)), "rate by_state error_bound communicating_class num_sweeps status"
        ),
        "freed_survival": lambda: attributes(freed_survival(ending), "v growth status"),
    }
