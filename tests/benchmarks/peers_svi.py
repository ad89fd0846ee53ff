"""Other implementations of fitting the tables of a guide by Adam, with an exact ELBO or with enumeration by Pyro."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.optim import PyroOptim

from pgm_control import ClampedGuide, FreeGuide, TabularModel

from .harness import jax_in_float64, optional
from .limit.elbo import ElboLimit

RATE, DECAY = 0.1, (0.9, 0.9)  # Adam as in the default of `fit` for exact losses, for every contestant
Guide = FreeGuide | ClampedGuide


class Run(NamedTuple):
    """The result of a fit: seconds without compilation, number of steps, ELBO reached, seconds of compilation."""

    seconds: float
    steps: int
    elbo: float
    compiling: float = 0.0


def adam() -> PyroOptim:
    return PyroOptim(torch.optim.Adam, {"lr": RATE, "betas": DECAY})


def guide_of(model: TabularModel, free: bool) -> Guide:
    return FreeGuide(model) if free else ClampedGuide(model)


def single_site(size: int) -> Callable[[], object]:
    """A step with one sample site and as many parameters as a clamped guide: the minimal cost of a step in Pyro."""
    start = torch.zeros(size)

    def model() -> None:
        pyro.sample("x", dist.Normal(torch.zeros(size), 1.0).to_event(1))

    def guide() -> None:
        pyro.sample("x", dist.Delta(pyro.param(f"x_at_{size}", start)).to_event(1))

    return SVI(model, guide, adam(), loss=Trace_ELBO()).step


def enumeration(model: TabularModel, guide: Guide) -> Callable[[], Any]:
    """A step of SVI with `TraceEnum_ELBO` on the stepwise program."""
    return SVI(model, config_enumerate(guide), adam(), loss=TraceEnum_ELBO(max_plate_nesting=0)).step


def limit_step(model: TabularModel, free: bool) -> Callable[[], object]:
    """The ELBO and its gradient in C, without an optimiser."""
    return ElboLimit(model, free).evaluate


def limit_with_adam(model: TabularModel, free: bool) -> Callable[[], float]:
    """A step of the same C with Adam from torch on its arrays."""
    limit = ElboLimit(model, free)
    arrays = [(limit.policy, limit.by_policy), *([(limit.dynamics, limit.by_dynamics)] if free else [])]
    parameters = [torch.nn.Parameter(torch.from_numpy(each)) for each, _ in arrays]
    for parameter, (_, gradient) in zip(parameters, arrays, strict=True):
        parameter.grad = torch.from_numpy(gradient)
    optimiser = torch.optim.Adam(parameters, lr=RATE, betas=DECAY, fused=True, maximize=True)

    def step() -> float:
        found = limit.evaluate()
        optimiser.step()
        return found

    return step


def jax_elbo(jax: Any, model: TabularModel, free: bool) -> tuple[Callable[[Any], Any], dict[str, Any]]:
    """The exact ELBO as a function of logits, and their initial values."""
    np_, mdp = jax.numpy, model.mdp
    p, successor = np_.asarray(mdp.probability.numpy()), np_.asarray(mdp.successor.numpy())
    gain, initial = np_.asarray(mdp.reward.numpy()) / model.temperature, np_.asarray(mdp.initial.numpy())
    log_prior = np_.log(np_.asarray(model.action_prior.numpy()))
    possible = p > 0
    log_p = np_.where(possible, np_.log(np_.where(possible, p, 1.0)), 0.0)
    steps, (states, actions, outcomes) = mdp.horizon, p.shape

    def elbo(tables: dict[str, Any]) -> Any:
        def step(w: Any, now: dict[str, Any]) -> tuple[Any, None]:
            x = gain + w[successor]
            if free:
                log_q = jax.nn.log_softmax(np_.where(possible, log_p + now["dynamics"], -np_.inf), -1)
                kept = np_.where(possible, log_q, 0.0)
                value = (np_.exp(log_q) * (x - kept + log_p)).sum(-1)
            else:
                value = (p * x).sum(-1)
            log_pi = jax.nn.log_softmax(log_prior + now["policy"], -1)
            return (np_.exp(log_pi) * (value - log_pi + log_prior)).sum(-1), None

        return initial @ jax.lax.scan(step, np_.zeros(states), tables, reverse=True)[0]

    start = {"policy": np_.zeros((steps, states, actions))}
    if free:
        start["dynamics"] = np_.zeros((steps, states, actions, outcomes))
    return elbo, start


def jax_fit(model: TabularModel, free: bool) -> Callable[[float, int], Run] | None:
    """A whole fit by Adam of optax in one jitted `while_loop` that stops at a target: the fastest form in JAX."""
    jax, optax = jax_in_float64(), optional("optax")
    if jax is None or optax is None:
        return None
    elbo, start = jax_elbo(jax, model, free)
    optimiser = optax.adam(RATE, *DECAY)

    @jax.jit
    def run(target: Any, limit: Any) -> Any:
        def go_on(carried: Any) -> Any:
            return (carried[2] < target) & (carried[3] < limit)

        def step(carried: Any) -> Any:
            tables, state, _, steps = carried
            value, gradient = jax.value_and_grad(lambda tables: -elbo(tables))(tables)
            change, state = optimiser.update(gradient, state)
            return optax.apply_updates(tables, change), state, -value, steps + 1

        return jax.lax.while_loop(go_on, step, (start, optimiser.init(start), -jax.numpy.inf, 0))[2:]

    return _timed(lambda target, limit: jax.block_until_ready(run(target, limit)))


def _timed(run: Callable[[float, int], Any]) -> Callable[[float, int], Run]:
    def call(target: float, limit: int) -> Run:
        begin = time.perf_counter()
        run(-1e300, 1)
        start = time.perf_counter()
        elbo, steps = run(target, limit)
        return Run(time.perf_counter() - start, int(steps), float(elbo), start - begin)

    return call


def numpyro_step(model: TabularModel, free: bool) -> Callable[[], Callable[[], float]] | None:
    """A function that starts a new fit by a jitted `SVI.update` of NumPyro, one exact factor; each call is a step."""
    jax, numpyro = jax_in_float64(), optional("numpyro")
    if jax is None or numpyro is None or optional("optax") is None:
        return None
    import importlib

    infer, optax = importlib.import_module("numpyro.infer"), importlib.import_module("optax")
    elbo, start = jax_elbo(jax, model, free)

    def program() -> None:
        numpyro.factor("elbo", elbo({name: numpyro.param(name, table) for name, table in start.items()}))

    svi = infer.SVI(program, lambda: None, optax.adam(RATE, *DECAY), infer.Trace_ELBO())
    update = jax.jit(svi.update)

    def new() -> Callable[[], float]:
        state = [svi.init(jax.random.key(0))]

        def step() -> float:
            state[0], loss = update(state[0])
            return -float(loss)

        return step

    return new
