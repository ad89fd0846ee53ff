"""A guide written as a Pyro function, read as tables: the distribution of each site given the values before it."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import pyro
import torch
from jaxtyping import Bool, Float, Int
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.nn.functional import pad

from ..errors import InvalidGuide
from ..problems.mdp import TabularMDP
from ..programs.own_parameters import own_parameters
from ..programs.side_by_side import announce_loop, reason
from ..runtime.alone.thread import alone
from ..runtime.memory import require_room
from ..runtime.programs import require_callable
from ..runtime.randomness import seeded
from ..text.wording import action_phrase, state_phrase
from .blocks import Blocks
from .program import require_sites, sites, with_end

_DRAWS = 64  # trajectories of the guide itself on which the Markov property is checked
_AT_ONCE = 4_000_000  # entries of the distributions of one site that are computed side by side


class Conditionals(NamedTuple):
    """The log-probabilities of the values of each site given those before it, in nats, for a batch of trajectories.

    Attributes:
        initial: of the first state.
        policy: of the actions.
        dynamics: of the outcomes.
        arrival: of the state that the outcome leads to, of the end, and the largest of any other next state.
    """

    initial: Float[Tensor, "*batch state_and_end"]
    policy: Float[Tensor, "*batch time action"]
    dynamics: Float[Tensor, "*batch time outcome"]
    arrival: Float[Tensor, "*batch time 3"]


class FunctionTables:
    """The conditionals of a Pyro function, read by running it with given values of its sites instead of draws.

    The runs are made side by side by `torch.vmap`; one by one if the code branches on values, which the logger
    "pgm_control" then says.
    """

    def __init__(self, guide: Callable[[], Any], mdp: TabularMDP) -> None:
        """Run the guide once, which makes its parameters, and raises its own errors.

        Raises:
            InvalidArgument: if it cannot be called without arguments, or its tables do not fit into memory.
            InvalidGuide: if it samples other sites than the model's, or draws something else than one number at one.
        """
        require_callable("guide", guide)
        require_room(
            "model", f"the distributions of a guide function in {mdp.horizon:,} steps, after each possible event",
            2 * mdp.horizon * mdp.successor.numel() * (mdp.num_actions + mdp.num_outcomes + 3),
            mdp.initial.element_size(), "Shorten the horizon, mdp.replace(horizon=…), or write it as a MarkovGuide.",
        )  # fmt: skip
        self._guide, self._mdp, self._run = guide, mdp, functools.partial(_run, guide, mdp)
        with own_parameters(guide):  # with the user's random numbers, from which parameters may be drawn
            found = self._run(self._constant()[0])
        is_fine = all(each.dtype == torch.float64 for each in found)
        self._tolerance = 1e-9 if is_fine else 1e-4  # of log-probabilities, in nats, relative where these are large

    def blocks(self) -> Blocks:
        """The factors, read after histories that repeat one event; differentiable in the parameters of the guide.

        Raises:
            InvalidGuide: if a next state may be another than that of the outcome, or the end.
        """
        mdp, events = self._mdp, self._mdp.successor.shape
        read = (each.to(mdp.initial) for each in self._read(self._constant()))
        initial, policy, dynamics, arrival = (each.reshape(*events, *each.shape[1:]) for each in read)
        log_dynamics = dynamics[:, :, 0].movedim(2, 0)
        found = Blocks(mdp, initial[0, 0, 0, : mdp.num_states], policy[:, 0, 0].movedim(1, 0), log_dynamics)
        arrival, possible = arrival.movedim(3, 0), log_dynamics.detach() > -torch.inf
        self._require_arrival(arrival.detach(), possible)
        return found if mdp.discount == 1 else self._with_survival(found, arrival[..., 0], possible)

    @torch.no_grad()
    def require_markov(self, blocks: Blocks) -> None:
        """Require the same conditionals after other histories: random ones, and those that the guide itself draws.

        A dependence that shows after none of these histories is not found.

        Raises:
            InvalidGuide: with the site, and the site that it depends on.
        """
        given = torch.cat((self._shuffled(), self._drawn(blocks), self._ended(blocks)))
        found = self._read(given)
        for t, name, one, other in _by_site(found, _expected(blocks, given, found)):
            same = _equal(one, other, self._tolerance)
            if not same.all():
                row = given[int((~same).nonzero()[0])]
                self._refuse(t, name, row)

    def _read(self, given: Int[Tensor, "batch site"]) -> Conditionals:
        """The conditionals along trajectories."""
        device, chunk = self._mdp.initial.device, max(1, _AT_ONCE // (self._mdp.num_states + 1))
        with seeded(0, device), own_parameters(self._guide):
            try:
                with pyro.validation_enabled(False):  # which branches on values
                    return torch.func.vmap(self._run, randomness="different", chunk_size=chunk)(given)
            except Exception as problem:
                announce_loop(self._guide, len(given), reason(problem))
        with seeded(0, device), own_parameters(self._guide):
            return Conditionals(*map(torch.stack, zip(*map(self._run, given), strict=True)))

    def _constant(self) -> Int[Tensor, "batch site"]:
        """For each state, action and outcome a trajectory that repeats it."""
        every = torch.arange(self._mdp.successor.numel(), device=self._mdp.successor.device)
        return _trajectories(every.expand(self._mdp.horizon, -1), self._mdp)

    def _shuffled(self) -> Int[Tensor, "batch site"]:
        """Trajectories that contain each state, action and outcome once at each time, after random ones."""
        generator, count = torch.Generator().manual_seed(0), self._mdp.successor.numel()
        orders = [torch.randperm(count, generator=generator) for _ in range(self._mdp.horizon)]
        return _trajectories(torch.stack(orders).to(self._mdp.successor.device), self._mdp)

    def _drawn(self, blocks: Blocks) -> Int[Tensor, "batch site"]:
        """Trajectories of the guide, if it is Markov."""
        return torch.cat(blocks.sample(_DRAWS, torch.Generator(self._mdp.initial.device).manual_seed(0)), 1)

    def _ended(self, blocks: Blocks) -> Int[Tensor, "batch site"]:
        """A trajectory that ends as early as it can; none if it cannot end."""
        steps = self._mdp.horizon
        ends = (blocks.survival < 1).any(-1).nonzero()
        found = torch.zeros(min(len(ends), 1), 3 * steps + 1, dtype=torch.long, device=self._mdp.successor.device)
        if len(ends):
            found[:, int(ends[0]) + 1 : steps + 1] = self._mdp.num_states
        return found

    def _require_arrival(
        self, arrival: Float[Tensor, "time state action outcome 3"], possible: Bool[Tensor, "time state action outcome"]
    ) -> None:
        """Require that a possible outcome leads to its state or to the end, with a total probability of one."""
        total = arrival[..., :2].exp().sum(-1)
        off = possible & ~((arrival[..., 2] == -torch.inf) & ((total - 1).abs() <= 1e-5))
        if off.any():
            t, s, a, k = off.nonzero()[0].tolist()
            mdp = self._mdp
            raise InvalidGuide(
                f"`guide` must draw `state_{t + 1}` = {int(mdp.successor[s, a, k])}, the state that outcome {k} of "
                f"{action_phrase(mdp, a)} in {state_phrase(mdp, s)} leads to{_or_the_end(mdp)}, but gives it the "
                f"probability {float(total[t, s, a, k]):.6g} and another state up to "
                f"{float(arrival[t, s, a, k, 2].exp()):.3g}. Use Categorical(logits=…) with −inf for impossible "
                "states: probs=… raises them to machine epsilon."
            )

    def _with_survival(
        self,
        blocks: Blocks,
        survives: Float[Tensor, "time state action outcome"],
        possible: Bool[Tensor, "time state action outcome"],
    ) -> Blocks:
        """The factors with the log-probability of surviving by the state reached, if it is not the discount."""
        mdp, count = self._mdp, self._mdp.successor.numel()
        target = mdp.successor.flatten().long().expand(mdp.horizon, -1)
        event = torch.where(possible.flatten(1), torch.arange(count, device=target.device), count)
        first = target.new_full((mdp.horizon, mdp.num_states), count).scatter_reduce(1, target, event, "amin")
        clamped = mdp.initial.new_tensor(mdp.discount).log()
        found = survives.flatten(1).gather(1, first.clamp(max=count - 1))
        log_survival = torch.where(first < count, found, clamped)
        each = torch.where(possible.flatten(1), survives.flatten(1), log_survival.gather(1, target))
        same = _equal(each[..., None], log_survival.gather(1, target)[..., None], self._tolerance)
        if not same.all():
            t, i = (~same).nonzero()[0].tolist()
            raise InvalidGuide(
                f"`guide` must draw the end at `state_{t + 1}` with a probability that depends on the state reached "
                f"only, but for state {int(target[t, i])} it depends on the state, action or outcome before. Score it "
                "by estimate(model, guide)."
            )
        is_clamped = not log_survival.requires_grad and bool((log_survival - clamped).abs().max() <= self._tolerance)
        return blocks if is_clamped else blocks.replace(log_survival=log_survival)

    def _refuse(self, t: int, name: str, row: Int[Tensor, " site"]) -> NoReturn:
        """Name what a site depends on: the first value whose replacement by that of the tables' history matters."""
        steps, names, kind = self._mdp.horizon, sites(self._mdp.horizon), name.partition("_")[0]
        if int(row[t]) == self._mdp.num_states:
            raise InvalidGuide(
                f"`guide` must draw action 0, outcome 0 and the end again after the end of an episode, state "
                f"{self._mdp.num_states}, as the model does, but draws others at `{name}`."
            )
        state, action, outcome = row.split([steps + 1, steps, steps])
        action_read, outcome_read = (kind != "action") * action[t], (kind == "state") * outcome[t]  # as `blocks` reads
        read = state[t].expand(steps + 1), action_read.expand(steps), outcome_read.expand(steps)
        place = torch.arange(len(names), device=row.device)
        changed = torch.arange(-1, len(names) + 1, device=row.device)[:, None]  # the first two rows are the same
        mixed = self._read(torch.where(place < changed, row, torch.cat(read)))
        table = next(found for _, each, found, _ in _by_site(mixed, mixed) if each == name)
        changes = (~_equal(table[1:], table[:-1], self._tolerance)).nonzero()
        first = int(changes[0]) if len(changes) else 0
        cause = f"`{names[first - 1]}`" if first else "random numbers that are no site"
        allowed = {"action": f"t and `state_{t}`", "outcome": f"t, `state_{t}` and `action_{t}`"}
        raise InvalidGuide(
            f"`guide` must draw `{name}` from a distribution that depends only on "
            f"{allowed.get(kind, 'the state that the outcome leads to')}, to be stored in tables, but it depends on "
            f"{cause}. Score it by estimate(model, guide); for smc write a Process, which may have a memory."
        )


class _Reader(Messenger):
    """A handler that gives every site its value, and keeps the log-probabilities of all its values."""

    def __init__(self, mdp: TabularMDP, given: Int[Tensor, " site"]) -> None:
        super().__init__()
        self.mdp, self.given = mdp, dict(zip(sites(mdp.horizon), given, strict=True))
        self.found: dict[str, Tensor] = {}

    def _pyro_sample(self, msg: Any) -> None:
        name = str(msg["name"])
        if site_is_subsample(msg):
            return
        if name not in self.given:
            self.found[name] = self.mdp.initial
            return
        kind, _, t = name.partition("_")
        ends = int(self.mdp.discount < 1)
        sizes = {"action": self.mdp.num_actions, "outcome": self.mdp.num_outcomes}
        table = _log_probabilities(name, msg, sizes.get(kind, self.mdp.num_states + ends), self.mdp.initial)
        self.found[name] = self._arrival(table, int(t) - 1) if kind == "state" and t != "0" else table
        msg["value"], msg["done"] = self.given[name].reshape(msg["fn"].batch_shape), True

    def _arrival(self, table: Float[Tensor, " state_and_end"], t: int) -> Float[Tensor, " 3"]:
        """The log-probabilities of the state that outcome t leads to, of the end, and the largest of any other."""
        event = [self.given[f"{kind}_{t}"] for kind in ("state", "action", "outcome")]
        places = torch.arange(len(table), device=table.device)
        successor = pad(self.mdp.successor, (0, 0, 0, 0, 0, 1), value=self.mdp.num_states)
        target = successor[event[0], event[1], event[2]].long()
        end = pad(table, (0, 1), value=-torch.inf)[self.mdp.num_states]
        other = torch.where((places == target) | (places == self.mdp.num_states), -torch.inf, table.detach()).amax()
        survives = table.gather(0, target[None])[0]
        return torch.stack((survives, end, other))


def _run(guide: Callable[[], Any], mdp: TabularMDP, given: Int[Tensor, " site"]) -> Conditionals:
    """The conditionals of one run of the guide along one trajectory."""
    with alone(), poutine.block(), _Reader(mdp, given) as reader:
        guide()
    require_sites(reader.found, mdp.horizon)
    steps = range(mdp.horizon)
    kinds = [[reader.found[f"{kind}_{t + after}"] for t in steps] for kind, after in _KINDS]
    return Conditionals(reader.found["state_0"], *map(torch.stack, kinds))


_KINDS = ("action", 0), ("outcome", 0), ("state", 1)


def _log_probabilities(name: str, msg: Any, size: int, like: Tensor) -> Float[Tensor, " value"]:
    """The log-probability of each value of a site, 0 to `size` − 1."""
    distribution = msg["fn"]
    is_plain = not isinstance(msg["scale"], Tensor) and msg["scale"] == 1 and msg["mask"] is None
    if msg["is_observed"] or not is_plain:
        raise InvalidGuide(
            f"`guide` must draw `{name}`, neither observed nor scaled nor masked: a guide is a normalised distribution."
        )
    shape = distribution.batch_shape
    if shape.numel() != 1 or distribution.event_shape:
        raise InvalidGuide(
            f"`guide` must draw one number at `{name}`, but draws a tensor of shape {tuple(distribution.shape())}. Use "
            "Categorical, without a plate."
        )
    if isinstance(distribution, torch.distributions.Categorical):
        table = distribution.logits.reshape(-1)
    else:
        values = torch.arange(size, dtype=like.dtype, device=like.device)
        table = distribution.log_prob(values.reshape(-1, *shape)).reshape(-1)
    if len(table) > size:
        raise InvalidGuide(f"`guide` must draw one of {size} values at `{name}`, but draws one of {len(table)}.")
    return pad(table, (0, size - len(table)), value=-torch.inf)


def _trajectories(event: Int[Tensor, "time batch"], mdp: TabularMDP) -> Int[Tensor, "batch site"]:
    """The values of all sites, from the number of the state, action and outcome at each time."""
    events = torch.stack(torch.unravel_index(event.T, mdp.successor.shape))
    return torch.cat((events[0], events[0][:, -1:], events[1], events[2]), 1)


def _expected(blocks: Blocks, given: Int[Tensor, "batch site"], found: Conditionals) -> Conditionals:
    """The conditionals along trajectories that the tables give; those found where nothing is required."""
    mdp, steps = blocks.mdp, blocks.mdp.horizon
    states, actions, outcomes = given.split([steps + 1, steps, steps], 1)
    states, time = states[:, :-1], torch.arange(steps, device=given.device)
    dynamics = with_end(blocks.log_dynamics, 1)[time, states, actions]
    successor = pad(mdp.successor, (0, 0, 0, 0, 0, 1), value=mdp.num_states).long()
    survives = pad(blocks.survival.log(), (0, 1))[time, successor[states, actions, outcomes]]
    possible = dynamics.gather(-1, outcomes[..., None]) > -torch.inf
    arrival = found.arrival.to(dynamics)
    required = torch.stack((survives, arrival[..., 1], torch.full_like(survives, -torch.inf)), -1)
    ends = found.initial.shape[-1] - mdp.num_states
    return Conditionals(
        pad(blocks.log_initial, (0, ends), value=-torch.inf).expand(len(given), -1),
        with_end(blocks.log_policy, 1)[time, states],
        dynamics,
        torch.where(possible, required, arrival),
    )


def _by_site(one: Conditionals, other: Conditionals) -> Iterator[tuple[int, str, Tensor, Tensor]]:
    """The step, the name and the two distributions of each site, in the order of the program; without the end's."""
    yield 0, "state_0", one.initial, other.initial
    for t in range(one.policy.shape[-2]):
        yield t, f"action_{t}", one.policy[:, t], other.policy[:, t]
        yield t, f"outcome_{t}", one.dynamics[:, t], other.dynamics[:, t]
        yield t, f"state_{t + 1}", one.arrival[:, t], other.arrival[:, t]


def _equal(
    one: Float[Tensor, "*row value"], other: Float[Tensor, "*row value"], tolerance: float
) -> Bool[Tensor, "*row"]:
    return torch.isclose(one.to(other), other, rtol=tolerance, atol=tolerance).all(-1)


def _or_the_end(mdp: TabularMDP) -> str:
    return f", or {mdp.num_states}, the end" if mdp.discount < 1 else ""
