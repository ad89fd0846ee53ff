"""Runs of a guide along which a model is scored: the log-densities of both, site by site."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from pyro.infer.autoguide import AutoGuide
from torch import Tensor

from ..errors import InvalidArgument, InvalidGuide, PGMControlError
from ..runtime.programs import without_handlers
from .auxiliary import HasReverse, log_reverse, require_reverse
from .own_parameters import own_parameters
from .point_sites import point_sites
from .roles import in_order, roles_of
from .run import Site, run_with
from .side_by_side import Named, side_by_side

_SAME = 1e-6  # in nats, up to which two log-densities are equal, relative where they are large


class Replay(NamedTuple):
    """Independent draws from a guide, with the log-densities of guide and model by site, in nats.

    Attributes:
        values: the values of the guide's sites, one row a draw.
        log_guide: log q of each site given those before it, auxiliary ones included.
        log_model: log p of each site of the model, factors and observations included.
        log_reverse: log r of the auxiliary sites together; 0 for a guide without a reverse model.
    """

    values: Named
    log_guide: dict[str, Float[Tensor, " draw"]]
    log_model: dict[str, Float[Tensor, " draw"]]
    log_reverse: Float[Tensor, " draw"]

    @property
    def log_weight(self) -> Float[Tensor, " draw"]:
        """log p~ + log r − log q of each draw, in nats; −inf where the model forbids it."""
        target = torch.stack(list(self.log_model.values())).sum(0) + self.log_reverse
        return torch.where(torch.isneginf(target), target, target - torch.stack(list(self.log_guide.values())).sum(0))


@final
class Pair:
    """A model and a guide, both any Pyro program, whose sites have been compared.

    Auxiliary sites of the guide, variables that the model does not have, belong to its density if it has a reverse
    model. Otherwise they are left out: the reverse model r of each is then its own conditional, which gives a lower
    bound, and a valid proposal. Pyro's AutoGuides compute their sites from auxiliary ones and hold the density of the
    trajectory in both together.

    Attributes:
        model, guide: the programs.
        roles: those that the model states.
        sites: the names of the model's sites, factors and observations included, in order.
        latent: those that the guide draws.
        like: a tensor of the dtype and on the device of the factors.
        computed: those of them that the guide computes from the sites before.
        auxiliary: the auxiliary sites of the guide.
        is_determined: whether the guide is an AutoGuide that computes sites from auxiliary ones.
    """

    def __init__(self, model: Callable[[], Any], guide: Callable[[], Any]) -> None:
        """Run both once and compare their sites.

        Raises:
            InvalidArgument: if the model has no factor of optimality, or a site without a role.
            InvalidGuide: if the guide leaves a site of the model out, has another that is not auxiliary, or observes.
        """
        self.model, self.guide, self.roles = model, guide, roles_of(model)
        with torch.random.fork_rng(devices=[]), torch.no_grad(), own_parameters(guide):
            drawn = run_with(guide, {})
            scored = _scored(model, _values(drawn))
        self.sites, self.latent = list(scored), _latent(scored)
        self._require_roles(scored)
        _require_same(drawn, scored)
        _require_shapes(drawn, scored, self.latent)
        self.auxiliary = _auxiliary(drawn)
        self.computed = [name for name in self.latent if drawn[name].is_determined]
        self.is_determined = bool(self.auxiliary) and is_autoguide(guide)
        if not self.is_determined:
            _require_densities(drawn, scored, self.latent)
        elif points := point_sites(model, guide):
            raise InvalidGuide(_no_density(points[0]))
        has_density = self.is_determined or isinstance(guide, HasReverse)
        self.scored = [name for name in drawn if has_density or name not in self.auxiliary]
        factor = next(site for name, site in scored.items() if self.has_role(name, "optimality"))
        self.like = factor.log_probability.detach()
        if not self.like.is_floating_point():
            self.like = torch.zeros((), device=self.like.device)

    def has_role(self, site: str, role: str) -> bool:
        """Whether a site has a role."""
        return role in self.roles(site)

    def replayed(self, num_samples: int, seed: int | None) -> Replay:
        """Independent draws from the guide, scored by both."""

        def run(known: Mapping[str, Tensor]) -> tuple[Named, Named]:
            drawn = run_with(self.guide, known)
            values = _values(drawn)
            scored = run_with(self.model, values)
            self.require_sites(scored)
            logs = {f"q {name}": drawn[name].log_probability for name in self.scored}
            logs |= {f"p {name}": site.log_probability for name, site in scored.items()}
            return values, logs | {"r": self._log_reverse(values)}

        values, logs = side_by_side(run, self.guide, num_samples, seed, self.like)
        require_numbers(logs)
        log_reverse = logs.pop("r")
        return Replay(values, by_kind(logs, "q"), by_kind(logs, "p"), log_reverse)

    def require_sites(self, scored: Mapping[str, Site]) -> None:
        """Require that a run of the model has the sites of the others.

        Raises:
            InvalidArgument: naming one that is missing or new.
        """
        if odd := in_order(list(set(scored) ^ set(self.sites))):
            raise InvalidArgument(
                f"`model` must have the same sites in every run, but `{odd[0]}` is in some runs only. Let steps after "
                "an end go on, with the factor 0."
            )

    def _log_reverse(self, values: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        if not self.auxiliary or not isinstance(self.guide, HasReverse):
            return self.like.new_zeros(())
        known, hidden = ({name: values[name] for name in names} for names in (self.latent, self.auxiliary))
        return log_reverse(self.guide, known, hidden)

    def clamped(self, replay: Replay) -> set[str]:
        """The sites of chance whose densities are the model's along draws; none if auxiliary variables compute them."""
        if self.is_determined:
            return set()
        chance = [name for name in self.latent if self.has_role(name, "chance")]
        each = ((name, replay.log_guide[name], replay.log_model[name]) for name in chance)
        return {name for name, q, p in each if torch.allclose(q, p.to(q), rtol=_SAME, atol=_SAME)}

    def _require_roles(self, scored: dict[str, Site]) -> None:
        """Require a factor of optimality, and that each site of the model is drawn by the policy or by the world."""
        if not any(self.has_role(name, "optimality") and not site.is_latent for name, site in scored.items()):
            raise InvalidArgument(
                "`model` must be a tabular model, or a Pyro program with factors of optimality, such as "
                'pyro.factor("optimality_0", reward / temperature), but has none. If they have other names, state the '
                'roles: model.roles = {"cost_*": "optimality", …}.'
            )
        for name, site in scored.items():
            found = self.roles(name)
            if site.is_latent and not found & {"action", "chance"}:
                raise InvalidArgument(
                    f"`{name}` of the model must be an action or chance, but has {_words(found)}. State the roles of "
                    'its sites: model.roles = {"state_*": ("state", "chance"), "action_*": "action", …}.'
                )
            if not site.is_latent and found & {"action"}:
                raise InvalidArgument(f"`{name}` of the model must be drawn, since it is an action, but is observed.")


def require_fittable(model: Callable[[], Any], guide: Callable[[], Any], with_every_site: bool) -> None:
    """Require a guide whose losses in Pyro are bounds: Pyro only warns of a missing site, and leaves r out in silence.

    Args:
        model, guide: the programs.
        with_every_site: whether each latent site of the model must be drawn by the guide.

    Raises:
        InvalidGuide: if a site is missing, or an auxiliary one has no reverse model.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad(), own_parameters(guide):
        drawn = run_with(guide, {})
        require_known_density(guide, _auxiliary(drawn))
        if with_every_site:
            _require_none_missing(drawn, _scored(model, _values(drawn)))


def require_known_density(guide: Callable[[], Any], auxiliary: Iterable[str]) -> None:
    """Require a reverse model of a guide with these auxiliary sites, unless it is an AutoGuide.

    Raises:
        InvalidGuide: if it has none.
    """
    require_reverse(guide, () if is_autoguide(guide) else auxiliary)


def by_kind(logs: Named, kind: str) -> Named:
    """The log-densities by site of the guide (q) or of the model (p), with the kind taken off their names."""
    return {name[2:]: each for name, each in logs.items() if name[0] == kind}


def _scored(model: Callable[[], Any], values: Named) -> dict[str, Site]:
    """The sites of the model along values of a guide.

    Raises:
        InvalidGuide: if the model raises an error with them; the message holds it.
    """
    try:
        return run_with(model, values)
    except PGMControlError:
        raise
    except Exception as problem:  # of the user's code
        raise InvalidGuide(
            f"`guide` must draw values with which `model` runs, but with its values the model raises "
            f"{type(problem).__name__}: {problem}. Is it a guide of this model?"
        ) from problem


def require_numbers(logs: Named) -> None:
    """Require that no log-density of runs is nan; the names begin with q for the guide and p for the model.

    Raises:
        InvalidGuide: naming the site.
    """
    for name, values in logs.items():
        if bool(values.isnan().any()):
            owner, _, site = name.partition(" ")
            raise InvalidGuide(
                f"The log-density of {'`guide`' if owner == 'q' else '`model`'} must be a number, but is nan at "
                f"`{site or 'its auxiliary sites'}`: its distribution has invalid parameters, such as a negative scale."
            )


def _words(roles: frozenset[str]) -> str:
    return f"the role {', '.join(sorted(roles))}" if roles else "no role"


def _values(sites: Mapping[str, Site]) -> Named:
    return {name: torch.as_tensor(site.value) for name, site in sites.items() if site.is_latent and not site.is_factor}


def _latent(sites: Mapping[str, Site]) -> list[str]:
    return [name for name, site in sites.items() if site.is_latent and not site.is_factor]


def _auxiliary(sites: Mapping[str, Site]) -> list[str]:
    return [name for name, site in sites.items() if site.is_auxiliary and not site.is_factor]


def _require_same(drawn: dict[str, Site], scored: dict[str, Site]) -> None:
    """Require that the guide draws the latent sites of the model, and no other but auxiliary ones."""
    if observed := [name for name, site in drawn.items() if not site.is_latent]:
        raise InvalidGuide(
            f"`guide` must draw its sites, but observes `{observed[0]}` or weighs by it; only the model may."
        )
    own, due = {name for name, site in drawn.items() if not site.is_auxiliary}, set(_latent(scored))
    if marked := in_order([name for name in due & set(drawn) if name not in own]):
        raise InvalidGuide(
            f"`guide` must mark as auxiliary only variables that the model does not have, but marks `{marked[0]}`. "
            'Take infer={"is_auxiliary": True} away.'
        )
    _require_none_missing(drawn, scored)
    if extra := in_order(list(own - due)):
        raise InvalidGuide(
            f"`guide` must sample the sites of the model and no other, but `{extra[0]}` is extra. Mark a variable that "
            'the model does not have: infer={"is_auxiliary": True}.'
        )


def _require_none_missing(drawn: dict[str, Site], scored: dict[str, Site]) -> None:
    if missing := in_order([name for name in _latent(scored) if name not in drawn]):
        raise InvalidGuide(
            f"`guide` must sample the sites of the model and no other, but `{missing[0]}` is missing. A site left out "
            "is not clamped; to clamp it, sample it from the model's own distribution."
        )


def _require_densities(drawn: dict[str, Site], scored: dict[str, Site], names: list[str]) -> None:
    """Refuse a point mass where the model has a density: log q is infinite, not the 0 that Pyro says."""
    for name in names:
        distribution = scored[name].distribution
        if drawn[name].is_determined and not (scored[name].is_determined or distribution.support.is_discrete):
            raise InvalidGuide(_no_density(name))


def _no_density(name: str) -> str:
    return (
        f"`guide` must have a density at `{name}`, where the model has one, but computes its value, as AutoDelta does: "
        "its ELBO is −inf. Draw it from a distribution, such as dist.Normal(value, 0.1)."
    )


def is_autoguide(guide: object) -> bool:
    """Whether a guide is one of Pyro's AutoGuides, inside of any handlers."""
    return isinstance(without_handlers(guide), AutoGuide)


def _require_shapes(drawn: dict[str, Site], scored: dict[str, Site], names: list[str]) -> None:
    """Require values of the shapes that the model draws: others would be broadcast, with a wrong density."""
    for name in names:
        found, due = torch.as_tensor(drawn[name].value).shape, scored[name].distribution.shape()
        if found != due:
            raise InvalidGuide(
                f"`guide` must draw `{name}` with shape {tuple(due)}, as the model does, but draws {tuple(found)}."
            )
