"""Fits by seed: every method, every kind of loss, and most guides."""

from collections.abc import Callable
from typing import Any

import torch
from pyro.infer import RenyiELBO, Trace_ELBO, TraceEnum_ELBO, TraceGraph_ELBO
from pyro.optim import PyroOptim

from pgm_control import (
    ClampedGuide,
    DialGuide,
    Fit,
    FreeGuide,
    MarkovELBO,
    MarkovObjective,
    MarkovRenyi,
    Optimism,
    PartiallyObservedModel,
    TabularModel,
    ToGoELBO,
    fit,
    with_optimism,
)
from pgm_control.guides import (
    DeterministicGuide,
    FreeWindowGuide,
    LowRankGuide,
    MeanFieldGuide,
    MixtureELBO,
    MixtureGuide,
    NeuralGuide,
    OpenLoopGuide,
    SimulatedGuide,
    StationaryGuide,
    ViewGuide,
    WindowGuide,
)
from pgm_control.models import SimulatorModel, frozen_lake, restaurant, risky_path, tiger, windy_bridge

from .entries import attributes


def cases() -> dict[str, Callable[[], Any]]:
    """Fits by name: the guide, then the method or the loss."""
    path, bridge = TabularModel(risky_path(), 20.0), TabularModel(windy_bridge(), 1.0)
    lake = TabularModel(frozen_lake(horizon=10), 0.1)
    columns = [s % 5 for s in range(bridge.mdp.num_states)]

    def on(model: Any, build: Callable[[Any], Any], **options: Any) -> Callable[[], Any]:
        return lambda: fitted(model, build(model), **options)

    def sgd() -> PyroOptim:
        return PyroOptim(torch.optim.SGD, {"lr": 0.05, "momentum": 0.5})

    return {
        "free": on(bridge, FreeGuide),
        "free_converges": on(path, FreeGuide, num_steps=2000),
        "free_trace": on(path, FreeGuide, loss=Trace_ELBO(), num_steps=30),
        "free_enumerated": on(path, FreeGuide, loss=TraceEnum_ELBO(max_plate_nesting=0), num_steps=10),
        "free_priced": _with_optimism,
        "free_natural_gradient": on(lake, FreeGuide, method="natural_gradient", step_size=0.3, num_steps=20),
        "clamped": on(lake, ClampedGuide),
        "clamped_sgd": on(bridge, ClampedGuide, loss=MarkovELBO(), optim=sgd()),
        "clamped_trace": on(bridge, ClampedGuide, loss=Trace_ELBO(num_particles=2), num_steps=20),
        "clamped_graph": on(path, ClampedGuide, loss=TraceGraph_ELBO(), num_steps=20),
        "clamped_to_go": on(bridge, ClampedGuide, loss=ToGoELBO(num_particles=2), num_steps=20),
        "clamped_enumerated": on(bridge, ClampedGuide, loss=TraceEnum_ELBO(max_plate_nesting=0), num_steps=5),
        "clamped_importance": on(path, ClampedGuide, loss=RenyiELBO(alpha=0.1, num_particles=3), num_steps=20),
        "clamped_renyi": on(bridge, ClampedGuide, loss=MarkovRenyi(0.5)),
        "clamped_objective": on(bridge, ClampedGuide, loss=MarkovObjective(0.0)),
        "clamped_natural_gradient": on(bridge, ClampedGuide, method="natural_gradient"),
        "clamped_exact": on(bridge, ClampedGuide, method="exact"),
        "clamped_resumed": lambda: _resumed(bridge),
        "dial": on(bridge, lambda model: DialGuide(model, -0.5)),
        "dial_blocks": on(bridge, lambda model: DialGuide(model, Optimism(0.3, 1.0))),
        "dial_exact": on(lake, lambda model: DialGuide(model, 0.5), method="exact"),
        "deterministic_exact": on(bridge, DeterministicGuide, method="exact"),
        "open_loop": on(bridge, OpenLoopGuide),
        "stationary": on(bridge, StationaryGuide),
        "view": on(bridge, lambda model: ViewGuide(model, columns)),
        "neural": on(bridge, lambda model: NeuralGuide(model, hidden=(16,)), num_steps=40),
        "neural_em": on(bridge, lambda model: NeuralGuide(model, hidden=(16,)), method="em", num_steps=5),
        "mean_field": on(path, MeanFieldGuide),
        "low_rank": on(bridge, lambda model: LowRankGuide(model, 2)),
        "mixture": on(path, lambda model: MixtureGuide.apart(model, OpenLoopGuide), loss=MixtureELBO(), num_steps=30),
        "window": lambda: _own_model(WindowGuide(PartiallyObservedModel(tiger(horizon=3), 5.0), 2)),
        "free_window": lambda: _own_model(FreeWindowGuide(PartiallyObservedModel(tiger(horizon=3), 5.0), 2)),
        "simulated": _simulated,
    }


def fitted(model: Any, guide: Any, **options: Any) -> dict[str, Any]:
    """Fit with seed 0, by default 60 steps of SVI."""
    return summary(fit(model, guide, **{"num_steps": 60, "seed": 0, **options}))


def summary(found: Fit) -> dict[str, Any]:
    """ELBO history, status and parameters of a fit."""
    numbers = attributes(found, "elbo_history elbo num_steps status")
    guide: Any = found.guide
    return {**numbers, "parameters": dict(guide.state_dict())}


def _own_model(guide: Any) -> dict[str, Any]:
    return fitted(guide.model, guide, num_steps=30)


def _with_optimism() -> dict[str, Any]:
    model = TabularModel(restaurant(), 1.0)
    guide = FreeGuide(model)
    loss = TraceEnum_ELBO(max_plate_nesting=0)
    both = (with_optimism(each, model, 0.5) for each in (model, guide))
    found = fit(*both, loss=loss, num_steps=20, seed=0)
    return {**attributes(found, "elbo_history num_steps status"), "parameters": dict(guide.state_dict())}


def _resumed(model: TabularModel) -> dict[str, Any]:
    first = fit(model, ClampedGuide(model), loss=Trace_ELBO(), num_steps=10, seed=0)
    return summary(fit(model, ClampedGuide(model), loss=Trace_ELBO(), num_steps=20, resume=first))


def _simulated() -> dict[str, Any]:
    """Policy gradient by SVI in a live environment."""
    model = SimulatorModel("pgm_control/RiskyPath-v0", 20.0, num_envs=4, seed=0)
    guide = SimulatedGuide(model, hidden=(8,))
    found = fitted(model, guide, loss=ToGoELBO(), num_steps=15)
    model.close()
    return found
