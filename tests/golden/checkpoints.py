"""Tensors and numbers in checkpoints, by dotted names. JSON and times are left out."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyro.infer import Trace_ELBO

from pgm_control import ClampedGuide, FreeGuide, TabularModel, fit, value_iteration
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning
from pgm_control.models import frozen_lake, risky_path

from .entries import tensors_in
from .learners import PATH, PENDULUM, SMALL


def cases() -> dict[str, Callable[[], Any]]:
    """Checkpoints by name of the method or the learner that wrote them."""
    model, lake = TabularModel(risky_path(), 20.0), frozen_lake().replace(discount=0.95)

    def fits(guide: Any, **options: Any) -> Callable[[Path], Any]:
        return lambda path: fit(
            model, guide(model), num_steps=12, seed=0, checkpoint=path, checkpoint_every=5, **options
        )

    def sweeps(method: Any, temperature: float = 0.05) -> Callable[[Path], Any]:
        return lambda path: value_iteration(
            TabularModel(lake, temperature), 0.0, method=method, max_sweeps=12, checkpoint=path, checkpoint_every=5
        )

    def learns(kind: Any, env: str, **options: Any) -> Callable[[Path], Any]:
        return lambda path: kind(env, **options).learn(64, checkpoint=path)

    writers = {
        "fit_svi": fits(FreeGuide),
        "fit_trace": fits(ClampedGuide, loss=Trace_ELBO()),
        "fit_natural_gradient": fits(FreeGuide, method="natural_gradient"),
        **{f"value_iteration_{each}": sweeps(each) for each in ("value_iteration", "gauss_seidel", "anderson")},
        "value_iteration_modified_policy_iteration": sweeps("modified_policy_iteration", 0.0),
        "soft_q_discrete": learns(SoftQLearning, PATH, **SMALL),
        "soft_q_box": learns(SoftQLearning, PENDULUM, **SMALL),
        "sac": learns(SAC, PENDULUM, **SMALL),
        "original_sac": learns(OriginalSAC, PENDULUM, **SMALL),
        "policy_gradient": learns(MaxEntPolicyGradient, PATH, hidden=(16,), seed=0),
    }
    return {name: lambda write=write: _written(write) for name, write in writers.items()}


def _written(write: Callable[[Path], Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        write(path)
        return tensors_in(path)
