"""The laws: requirements on models and guides. Each check returns a sentence per violation, none on success."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate
from torch import Tensor

from ..errors import InvalidGuide
from ..inference.variational.auxiliary_elbo import auxiliary_elbo
from ..inference.variational.elbo import elbo
from ..inference.variational.latent_blocks import HasLatentBlocks
from ..inference.variational.parameters import announced
from ..programs.auxiliary import HasReverse, is_auxiliary, with_reverse
from ..runtime.alone.thread import alone
from ..trajectories.action_measure import counts_actions, evidence_name
from ..trajectories.blocks import HasBlocks, MarkovModel
from ..trajectories.steps import has_last_factor, is_observed
from ..trajectories.tabulate import tabulate

BLOCKS = ("initial", "dynamics", "survival")  # of chance; the policy belongs to every guide
_SITE = re.compile(r"(state|action|outcome)_(\d+)")
_ENUMERABLE = 2_000_000  # entries of the joint tables of all steps up to which enumeration is used
_TRAJECTORIES = 20  # trajectories on which guide and model are compared
_SAMPLES = 200  # draws for an ELBO that must be estimated

Program = Callable[[], Any]


class Site(NamedTuple):
    """A sample statement in one run."""

    value: Tensor
    log_probability: float
    is_latent: bool
    is_auxiliary: bool = False


Sites = dict[str, Site]


def play(program: Program, seed: int, along: Program | None = None) -> Sites:
    """The sample statements of one seeded run, in order; with `along`, those of that program on the same values."""
    with alone(), poutine.seed(rng_seed=seed), torch.no_grad():
        trace = poutine.trace(program).get_trace()
        if along is not None:
            trace = poutine.trace(poutine.replay(along, trace=trace)).get_trace()
        trace.compute_log_prob()
    nodes: dict[str, Any] = dict(trace.nodes)
    return {
        name: Site(node["value"], float(node["log_prob_sum"]), not node["is_observed"], is_auxiliary(node))
        for name, node in nodes.items()
        if node["type"] == "sample"
    }


def latent(sites: Sites) -> list[str]:
    """The names of the sites that are neither observed nor auxiliary, in order."""
    return [name for name, site in sites.items() if site.is_latent and not site.is_auxiliary]


def sites(drawn: Sites, wanted: Sites) -> list[str]:
    """A guide samples exactly the latent sites of its model, apart from auxiliary ones, and has no factors."""
    missing = [name for name in latent(wanted) if name not in drawn]
    extra = [name for name in latent(drawn) if name not in wanted]
    weighed = [name for name, site in drawn.items() if not site.is_latent and name in wanted]
    broken = []
    if missing:
        broken.append(
            f"it leaves out {_some(missing)}. A site left out is not clamped: its entropy enters the ELBO. To clamp, "
            "sample it from the model's own distribution, as ClampedGuide does."
        )
    if extra:
        broken.append(
            f"it samples {_some(extra)}, which the model does not have. Use the model's site names, or mark it by "
            'infer={"is_auxiliary": True} and add a method `reverse`.'
        )
    if weighed:
        broken.append(f"it has the factors {_some(weighed)}; only the model may have factors.")
    return broken


def reverse(model: MarkovModel, guide: Program, seed: int) -> list[str]:
    """A guide with auxiliary sites has a reverse model, which samples them and no other, wherever the guide does."""
    if not isinstance(guide, HasReverse):
        hidden = [name for name, site in play(guide, seed).items() if site.is_auxiliary]
        return [f"it samples {_some(hidden)} as auxiliary sites, but has no method `reverse`."] if hidden else []
    extended, sampler = with_reverse(model, guide)
    for offset in range(_TRAJECTORIES):
        hidden = {name for name, site in play(guide, seed + offset).items() if site.is_auxiliary}
        scored = play(sampler, seed + offset, along=extended)
        if odd := sorted(hidden ^ (set(scored) - set(play(model, seed)))):
            return [f"its reverse model must sample its auxiliary sites and no other, but differs in {_some(odd)}."]
        for name in sorted(hidden):
            if scored[name].log_probability == -math.inf:
                return [
                    f"it draws `{name}` = {scored[name].value.tolist()}, which its reverse model calls impossible: its "
                    "bound is −inf. Give every value that the guide can draw a positive probability."
                ]
    return []


def factors_of(model: MarkovModel, guide: Program) -> list[str]:
    """The blocks fit the model, are normalised, and are equal in two calls."""
    if not isinstance(guide, HasBlocks):
        return []
    try:
        with torch.no_grad():
            first, second = tabulate(model, guide), tabulate(model, guide)
    except InvalidGuide as problem:
        return [str(problem)]
    if all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("log_policy", "log_dynamics")):
        return []
    return ["its blocks() differ between two calls. Remove the randomness: no dropout, and .eval() for batch norm."]


def within_support(model: MarkovModel, guide: Program) -> list[str]:
    """A guide function that tables can hold has no mass on impossible outcomes, not even the rounding of torch."""
    if isinstance(guide, HasBlocks | torch.nn.Module):
        return []
    try:
        with torch.no_grad():
            mine, prior = tabulate(model, guide), model.blocks()
    except InvalidGuide:  # it has a memory
        return []
    for name, block in (("state_0", "log_initial"), ("outcome_t", "log_dynamics")):
        extra = (getattr(mine, block) > -math.inf) & (getattr(prior, block) == -math.inf)
        if extra.any():
            most = float(getattr(mine, block)[extra].exp().max())
            return [
                f"it gives impossible values of `{name}` the probability {most:.3g}: its ELBO is −inf. "
                "Categorical(probs=…) replaces 0 by the rounding error; write Categorical(logits=p.log())."
            ]
    return []


def order(drawn: Sites, model: MarkovModel) -> list[str]:
    """Each step samples state, action, outcome in this order, for which Pyro's enumeration is exact."""
    safe = [f"{kind}_{t}" for t in range(model.mdp.horizon) for kind in ("state", "action", "outcome")]
    found = [name for name in latent(drawn) if name in set(safe)]
    if missing := [name for name in safe if name not in drawn]:
        return [f"it leaves out {_some(missing)}."]
    for name, due in zip(found, safe, strict=True):
        if name != due:
            return [
                f"it draws `{name}` where `{due}` is due. Draw state, action, outcome in each step, the state first: "
                "if the next state is drawn within the same step, Pyro's enumeration is silently wrong."
            ]
    return []


def factors(drawn: Sites, model: MarkovModel) -> list[str]:
    """A model has one factor for each step that is observed, and one for the last state if it has a likelihood."""
    steps = model.mdp.horizon + has_last_factor(model)
    found = {name for name, site in drawn.items() if not site.is_latent}
    wanted = {f"optimality_{t}" for t in range(steps) if is_observed(model, t) or counts_actions(model)}
    if found == wanted:
        return []
    odd = sorted(found ^ wanted)
    return [f"the factors must be `optimality_0` to `optimality_{steps - 1}`, but differ in {_some(odd)}."]


def repeatable(program: Program, seed: int) -> list[str]:
    """Two runs with one seed are equal."""
    first, second = play(program, seed), play(program, seed)
    for name in (name for name, site in first.items() if site.is_latent):
        if name not in second or not torch.equal(first[name].value, second[name].value):
            return [f"`{name}` differs between two runs with one seed: draw only through pyro.sample."]
    return []


def evidence(model: MarkovModel, expected: float) -> list[str]:
    """Enumerating the program gives the evidence of the model's tables."""
    if not _is_enumerable(model):
        return []
    found = -float(TraceEnum_ELBO(max_plate_nesting=0).loss(config_enumerate(model), lambda: None))
    if _agree(found, expected, model):
        return []
    return [
        f"enumerating the program gives {evidence_name(model)} = {found:.8g}, but message passing on its tables gives "
        f"{expected:.8g}: the program and `mdp`, `temperature`, `action_prior` disagree."
    ]


def freedom(model: MarkovModel, guide: Program, seed: int) -> tuple[set[str], list[str]]:
    """Return the blocks other than the policy in which the guide differs from the model, and the violations found.

    They are compared in the guide's tables and on trajectories that the guide samples.
    """
    free = _free_blocks(model, guide)
    for offset in range(_TRAJECTORIES):
        believed, true = play(guide, seed + offset), play(guide, seed + offset, along=model)
        for name in latent(believed):
            q, p = believed[name].log_probability, true[name].log_probability
            if p == -math.inf:
                return free, [
                    f"it draws `{name}` = {believed[name].value.tolist()}, which the model calls impossible: its ELBO "
                    "is −inf. Give impossible outcomes a logit of −inf (log-probabilities, not probs=…)."
                ]
            if _block(name) in BLOCKS and not _agree(q, p, model):
                free.add(_block(name))
    return free, []


def _free_blocks(model: MarkovModel, guide: Program) -> set[str]:
    """The free blocks of a guide with tables; empty for any other guide."""
    if not isinstance(guide, HasBlocks):
        return set()
    mine, theirs = guide.blocks(), model.blocks()
    pairs = {
        "initial": (mine.log_initial, theirs.log_initial),
        "dynamics": (mine.log_dynamics, theirs.log_dynamics),
    }
    free = {
        name
        for name, (q, p) in pairs.items()
        if not torch.allclose(q.detach().exp(), p.exp().expand_as(q), rtol=0, atol=_tolerance(model))
    }
    return free | ({"survival"} if mine.log_survival is not None else set())


def bound(model: MarkovModel, guide: Program, log_evidence: float) -> tuple[float, list[str]]:
    """The ELBO, exact or estimated; it must not exceed log p(O) and must agree with that of the program.

    With auxiliary sites it is the auxiliary bound.
    """
    slack = _tolerance(model) * max(1.0, abs(log_evidence))
    broken = []
    if isinstance(guide, HasBlocks):
        value = elbo(model, guide.blocks()).item()
        if _is_enumerable(model):
            found = -float(TraceEnum_ELBO(max_plate_nesting=0).loss(model, config_enumerate(guide)))
            if not _agree(value, found, model):
                broken.append(
                    f"its program has an ELBO of {found:.8g} nats, but its blocks() have {value:.8g}: sample from "
                    "the blocks()."
                )
    else:
        pair = with_reverse(model, guide) if isinstance(guide, HasReverse) else (model, guide)
        values = torch.tensor([-Trace_ELBO().loss(*pair) for _ in range(_SAMPLES)])
        value, error = float(values.mean()), 5 * float(values.std()) / _SAMPLES**0.5
        if isinstance(guide, HasLatentBlocks):
            found, value = value, auxiliary_elbo(model, guide).item()
            if not abs(value - found) <= slack + error:
                broken.append(
                    f"its program has an auxiliary bound of {found:.4g} ± {error / 5:.2g} nats, but its "
                    f"latent_blocks() have {value:.4g}: sample from the latent_blocks()."
                )
        else:
            slack += error
    if value > log_evidence + slack:
        broken.append(
            f"its ELBO, {value:.8g} nats, exceeds {evidence_name(model)} = {log_evidence:.8g}: it is not a lower "
            "bound. Usual causes: a site drawn in an unsafe order, a block that is not normalised, or a factor in the "
            "guide."
        )
    return value, broken


def gradients(model: MarkovModel, guide: Program) -> list[str]:
    """The ELBO depends on every parameter, with a finite gradient."""
    if not isinstance(guide, torch.nn.Module):
        return []
    guide.zero_grad()
    if isinstance(guide, HasBlocks):
        value = elbo(model, guide.blocks())
        if value.requires_grad:
            value.backward()
    else:
        pair = with_reverse(model, guide) if isinstance(guide, HasReverse) else (model, announced(guide))
        Trace_ELBO().loss_and_grads(*pair)
    broken = []
    for name, parameter in guide.named_parameters():
        if parameter.grad is None:
            broken.append(f"the ELBO does not depend on the parameter `{name}`. Use it in the guide, or delete it.")
        elif not parameter.grad.isfinite().all():
            broken.append(
                f"the gradient of the parameter `{name}` is not finite. Mask impossible outcomes before log_softmax."
            )
    guide.zero_grad()
    return broken


def _block(site: str) -> str:
    match = _SITE.fullmatch(site)
    kind, t = match.groups() if match else ("action", "0")
    return {"action": "policy", "outcome": "dynamics"}.get(kind, "initial" if t == "0" else "survival")


def _is_enumerable(model: MarkovModel) -> bool:
    mdp = model.mdp
    return mdp.num_states**2 * mdp.num_actions * mdp.num_outcomes * mdp.horizon <= _ENUMERABLE


def _agree(one: float, other: float, model: MarkovModel) -> bool:
    return one == other or math.isclose(one, other, rel_tol=_tolerance(model), abs_tol=_tolerance(model))


def _tolerance(model: MarkovModel) -> float:
    return 1e-8 if model.mdp.probability.dtype == torch.float64 else 1e-3


def _some(names: Iterable[str]) -> str:
    ordered = [f"`{name}`" for name in names]
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
