"""The laws that every model and guide must obey, to run on your own class.

    from pgm_control.testing import check_guide, check_model
    check_guide(model, MyGuide(model))

Both return a report of what was found and raise `LawBroken` with every broken law, its reason and the remedy.
"""

import copy
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import pyro
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.poutine.trace_struct import Trace

from ._blocks import HasBlocks, MarkovModel
from ._elbo import elbo
from ._errors import InvalidGuide, LawBroken
from ._evaluate import blocks_of
from ._infer import infer
from ._optimism import Optimism

_SITE = re.compile(r"(state|action|outcome|optimality)_(\d+)")
_BLOCKS = {"initial": "the start", "policy": "the actions", "dynamics": "the dice", "survival": "survival"}
_ENUMERABLE = 2_000_000  # joint table size per step up to which enumeration is tried


@final
@dataclass(frozen=True)
class ModelReport:
    """What `check_model` found: the sites in order, and log p(O) in nats."""

    sites: tuple[str, ...]
    log_evidence: float


@final
@dataclass(frozen=True)
class GuideReport:
    """What `check_guide` found.

    Attributes:
        free: the blocks of chance that the guide's parameters can change, of "initial", "dynamics", "survival".
        elbo: at the parameters as given, in nats; estimated by sampling where it cannot be computed.
        log_evidence: log p(O), in nats.
    """

    free: tuple[str, ...]
    elbo: float
    log_evidence: float


def check_model(model: MarkovModel, seed: int = 0) -> ModelReport:
    """Run the laws of a tabular model: sites and their order, finite factors, reproducible seeds, exact evidence.

    The evidence of the Pyro program, by enumeration, must equal that of `infer`, where the problem is small enough.

    Raises:
        LawBroken: listing every broken law.
    """
    broken: list[str] = []
    trace = _trace(model, seed)
    broken += _order_laws(trace, model)
    steps = model.mdp.horizon
    factors = {name for name in trace.nodes if name.startswith("optimality_")}
    last = () if model.mdp.final_reward is None else (steps,)
    if factors != {f"optimality_{t}" for t in (*range(steps), *last)}:
        broken.append("the factors must be `optimality_0` … one a step (and one for a final reward): " + _some(factors))
    broken += _seed_laws(model, seed)
    evidence = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    if not broken and _is_enumerable(model):
        found = -float(TraceEnum_ELBO(max_plate_nesting=0).loss(config_enumerate(model), lambda: None))
        if not math.isclose(found, evidence, rel_tol=_tolerance(model), abs_tol=_tolerance(model)):
            broken.append(
                f"enumerating the program gives log p(O) = {found:.8g}, but message passing on its tables {evidence:.8g}: "
                "the program and `mdp`, `temperature`, `action_prior` disagree."
            )
    _raise(broken, type(model).__name__)
    return ModelReport(tuple(_latent(trace)), evidence)


def check_guide(model: MarkovModel, guide: Callable[[], Any], seed: int = 0) -> GuideReport:
    """Run the laws of a guide: sites, their order within a step, finite gradients, reproducible seeds, ELBO ≤ log p(O).

    Each is tried at the guide's parameters and at randomly moved ones, which are put back. Any Pyro guide will do; one
    with `blocks()` is also held to them: they must be normalised, and be what the program samples.

    Args:
        model: the model that the guide is for.
        guide: the guide, built.
        seed: for the traces and the moves; torch's generator is put back afterwards.

    Returns:
        Which blocks are free, and the bound.

    Raises:
        LawBroken: listing every broken law.
    """
    broken: list[str] = []
    free: set[str] = set()
    evidence = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    bounds: list[float] = []
    with _seeded(seed), _kept(guide):
        for moved in (False, True):
            if moved:
                _move(guide)
            trace = _trace(guide, seed)
            broken += _site_laws(trace, _trace(model, seed)) + _order_laws(trace, model)
            if broken:
                break
            broken += _seed_laws(guide, seed)
            free |= _free_blocks(model, guide, seed, broken)
            bound, slack, found = _bound(model, guide, seed)
            broken += found
            bounds.append(bound)
            if bound > evidence + slack:
                broken.append(
                    f"its ELBO, {bound:.8g} nats, exceeds log p(O) = {evidence:.8g}: it is no lower bound. Usual causes: "
                    "a site drawn in an unsafe order, a block that is not normalised, or a site left out."
                )
            broken += _gradient_laws(model, guide)
    _raise(list(dict.fromkeys(broken)), getattr(guide, "__name__", type(guide).__name__))
    return GuideReport(tuple(name for name in _BLOCKS if name in free), bounds[0], evidence)


def _site_laws(trace: Trace, target: Trace) -> list[str]:
    have, want = _latent(trace), _latent(target)
    missing = [name for name in want if name not in have]
    extra = [name for name in have if name not in want]
    laws = []
    if missing:
        laws.append(
            f"it leaves out {_some(missing)}. A site left out is not clamped: its entropy enters the ELBO. To clamp it, "
            "sample it from the model's own distribution, as ClampedGuide does."
        )
    if extra:
        laws.append(f"it samples {_some(extra)}, which the model does not have. Use the model's site names.")
    factors = [name for name in trace.nodes if name.startswith("optimality_")]
    return [*laws, *([f"it has the factors {_some(factors)}; only the model is weighed."] if factors else [])]


def _order_laws(trace: Trace, model: MarkovModel) -> list[str]:
    """State, action, outcome at the top of each turn: the order in which Pyro's enumeration is exact."""
    safe = [f"{kind}_{t}" for t in range(model.mdp.horizon) for kind in ("state", "action", "outcome")]
    found = [name for name in _latent(trace) if name in set(safe)]
    wrong = next((pair for pair in zip(found, safe, strict=False) if pair[0] != pair[1]), None)
    if wrong is None or set(found) != set(safe):
        return []
    return [
        f"it draws `{wrong[0]}` where `{wrong[1]}` is due. Draw state, action, outcome in each turn, the state first: "
        "with the next state drawn inside the turn Pyro's enumeration is silently wrong."
    ]


def _seed_laws(program: Callable[[], Any], seed: int) -> list[str]:
    first, second = _trace(program, seed), _trace(program, seed)
    for name in _latent(first):
        if name not in second.nodes or not torch.equal(first.nodes[name]["value"], second.nodes[name]["value"]):
            return [f"`{name}` differs between two runs with one seed: draw only through pyro.sample."]
    return []


def _free_blocks(model: MarkovModel, guide: Callable[[], Any], seed: int, broken: list[str]) -> set[str]:
    """The blocks whose log-probability differs from the model's somewhere on sampled trajectories."""
    free = set()
    for offset in range(20):
        guided = _trace(guide, seed + offset)
        played = poutine.trace(poutine.replay(model, trace=guided)).get_trace()
        guided.compute_log_prob()
        played.compute_log_prob()
        for name in _latent(guided):
            q, p = (trace.nodes[name]["log_prob_sum"].item() for trace in (guided, played))
            block = _block(name)
            if p == -math.inf:
                broken.append(
                    f"it draws `{name}` = {guided.nodes[name]['value'].tolist()}, which the model calls impossible: its "
                    "ELBO is −inf. Give impossible faces a logit of −inf (log-probabilities, not probs=…)."
                )
                return free
            if abs(q - p) > _tolerance(model) and block != "policy":
                free.add(block)
    return free


def _bound(model: MarkovModel, guide: Callable[[], Any], seed: int) -> tuple[float, float, list[str]]:
    """The ELBO, by how much it may exceed the truth through rounding or sampling, and what was found wrong."""
    slack = _tolerance(model) * max(1.0, abs(infer(model).objective))
    if isinstance(guide, HasBlocks):
        try:
            value = elbo(model, blocks_of(model, guide)).item()
        except InvalidGuide as problem:
            return -math.inf, slack, [str(problem)]
        if not _is_enumerable(model):
            return value, slack, []
        found = -float(TraceEnum_ELBO(max_plate_nesting=0).loss(model, config_enumerate(guide)))
        if math.isclose(value, found, rel_tol=_tolerance(model), abs_tol=_tolerance(model)):
            return value, slack, []
        return value, slack, [
            f"its program has an ELBO of {found:.8g} nats, but its blocks() {value:.8g}: sample what blocks() says."
        ]
    with torch.no_grad():
        values = torch.tensor([-Trace_ELBO().loss(model, guide) for _ in range(200)])
    return float(values.mean()), slack + 5 * float(values.std()) / len(values) ** 0.5, []


def _gradient_laws(model: MarkovModel, guide: Callable[[], Any]) -> list[str]:
    if not isinstance(guide, torch.nn.Module) or not list(guide.parameters()):
        return []
    guide.zero_grad()
    if isinstance(guide, HasBlocks):
        loss = elbo(model, guide.blocks())
        if loss.requires_grad:
            loss.backward()
    else:
        Trace_ELBO().loss_and_grads(model, guide)
    laws = []
    for name, parameter in guide.named_parameters():
        if parameter.grad is None:
            laws.append(f"the ELBO does not depend on the parameter `{name}`. Use it in the guide, or delete it.")
        elif not parameter.grad.isfinite().all():
            laws.append(f"the gradient of the parameter `{name}` is not finite. Mask impossible faces before log_softmax.")
    guide.zero_grad()
    return laws


def _trace(program: Callable[[], Any], seed: int) -> Trace:
    with poutine.seed(rng_seed=seed):
        return poutine.trace(program).get_trace()


def _latent(trace: Trace) -> list[str]:
    return [name for name, node in trace.nodes.items() if node["type"] == "sample" and not node["is_observed"]]


def _block(site: str) -> str:
    match = _SITE.fullmatch(site)
    if match is None:
        return "policy"
    kind, t = match.groups()
    return {"action": "policy", "outcome": "dynamics"}.get(kind, "initial" if t == "0" else "survival")


def _is_enumerable(model: MarkovModel) -> bool:
    mdp = model.mdp
    return mdp.num_states**2 * mdp.num_actions * mdp.num_outcomes * mdp.horizon <= _ENUMERABLE


def _tolerance(model: MarkovModel) -> float:
    return 1e-8 if model.mdp.probability.dtype == torch.float64 else 1e-3


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _kept(guide: object) -> Iterator[None]:
    """Put the guide's parameters and Pyro's settings back afterwards."""
    state = copy.deepcopy(guide.state_dict()) if isinstance(guide, torch.nn.Module) else None
    with pyro.validation_enabled(True):
        try:
            yield
        finally:
            if state is not None and isinstance(guide, torch.nn.Module):
                guide.load_state_dict(state)


def _move(guide: object) -> None:
    if isinstance(guide, torch.nn.Module):
        with torch.no_grad():
            for parameter in guide.parameters():
                parameter.add_(torch.randn_like(parameter))


def _some(names: Any) -> str:
    ordered = [f"`{name}`" for name in names]
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")


def _raise(broken: list[str], name: str) -> None:
    if broken:
        raise LawBroken("\n".join([f"{name} breaks {len(broken)} law(s):", *(f"  {i}. {law}" for i, law in enumerate(broken, 1))]))
