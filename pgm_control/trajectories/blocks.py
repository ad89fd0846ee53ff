"""The factors of a Markov distribution over trajectories, with its marginals, samples and mode."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.optimism import Optimism
from ..errors import InvalidArgument, InvalidGuide
from ..problems.gradients import require_numbers
from ..problems.mdp import TabularMDP
from ..runtime.arguments import shown
from ..runtime.memory import require_room
from ..runtime.moving import Place, moved_copy, moved_log_probability, place_of
from ..runtime.programs import without_condition
from .by_step import StepBlocks, sampled
from .gaussian.kinds import what_takes
from .protocol_checks import MembersOnce
from .samples import Occupancy, Trajectories, Trajectory
from .steps import require_plain, temperature_at

_SAME = 1e-6  # in probability: the rounding of float32


@final
@dataclass(frozen=True, eq=False, repr=False)
class Blocks:
    r"""The factors of $q(s_0) \prod_t q_t(a_t \mid s_t)\, q_t(k_t \mid s_t, a_t)$ over the trajectories of a problem.

    Every table holds normalised log-probabilities, in nats; −inf means impossible. A guide starts from the blocks of
    its model and replaces those that it changes: `self.model.blocks().replace(log_policy=…)`.

        blocks = tabulate(model, guide)
        blocks.policy[0]  # π_0(a|s)
        blocks.sample(100, seed=0).states
        blocks.marginals().state.sum(0)  # how often each state is visited

    Attributes:
        mdp: the problem, which says where outcomes lead and how probable survival is.
        log_initial: $\log q(s_0)$.
        log_policy: $\log \pi_t(a \mid s)$.
        log_dynamics: $\log q_t(k \mid s, a)$.
        log_survival: log-probability of surviving step t, by the state that it leads to, if it may differ from the
            discount γ; None if survival is clamped.
    """

    mdp: TabularMDP
    log_initial: Float[Tensor, " state"]
    log_policy: Float[Tensor, "time state action"]
    log_dynamics: Float[Tensor, "time state action outcome"]
    log_survival: Float[Tensor, "time next_state"] | None = None

    def replace(self, **changes: object) -> "Blocks":
        """A copy with some attributes changed: `blocks.replace(log_policy=…)`."""
        return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Blocks":
        """A copy on another device or in another floating dtype; itself if nothing changes. See `TabularMDP.to`.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        place = place_of(self.log_initial, device, dtype)
        if place == Place.of(self.log_initial) == Place.of(self.mdp.initial):
            return self
        tables = {name: getattr(self, name) for name in ("log_initial", "log_policy", "log_dynamics")}
        return moved_copy(self, place, **{name: moved_log_probability(each, place) for name, each in tables.items()})

    @property
    def initial(self) -> Float[Tensor, " state"]:
        """The start distribution, q(s_0), as probabilities."""
        return self.log_initial.exp()

    @property
    def policy(self) -> Float[Tensor, "time state action"]:
        """The policy, π_t(a|s), as probabilities."""
        return self.log_policy.exp()

    @property
    def dynamics(self) -> Float[Tensor, "time state action outcome"]:
        """The dynamics, q_t(k|s, a), as probabilities."""
        return self.log_dynamics.exp()

    @property
    def survival(self) -> Float[Tensor, "time next_state"]:
        """The probability of surviving each step, by the state it leads to; γ if survival is clamped."""
        if self.log_survival is not None:
            return self.log_survival.exp()
        return torch.full_like(self.log_initial, self.mdp.discount).expand(self.mdp.horizon, -1)

    def marginals(self) -> Occupancy:
        r"""The marginal probabilities of states, actions and outcomes by time, computed by one forward sweep.

        $$q(s_{t+1} = s') = \sum_{s,a,k} q(s_t = s)\, \pi_t(a \mid s)\, q_t(k \mid s,a)\, [s'(s,a,k) = s']$$

        times the probability of surviving if there is a discount. They are differentiable in the blocks.
        """
        require_room(
            "model", f"the probabilities of all outcomes in {self.mdp.horizon:,} steps",
            2 * self.mdp.horizon * self.mdp.probability.numel(), self.log_initial.element_size(),
            "Shorten the horizon, mdp.replace(horizon=…).",
        )  # fmt: skip
        survival, policy, target = self.survival, self.policy, self.mdp.successor.flatten()
        states, outcomes = [self.initial], []
        for t in range(self.mdp.horizon):
            outcomes.append((states[t][:, None] * policy[t])[..., None] * self.log_dynamics[t].exp())
            arrived = torch.zeros_like(states[t]).index_add(0, target, outcomes[t].flatten())
            states.append(arrived * survival[t])
        return Occupancy(torch.stack(states), torch.stack(outcomes))

    def at(self, t: int) -> StepBlocks:
        """The factors of step t, t = 0 … T − 1."""
        if self.log_survival is None:
            lives = torch.full_like(self.log_initial, self.mdp.discount)
        else:
            lives = self.log_survival[t].exp()
        return StepBlocks(self.log_policy[t], self.log_dynamics[t], lives)

    def sample(self, num_samples: int, seed: int | torch.Generator | None = None) -> Trajectories:
        """Draw independent trajectories.

        Args:
            num_samples: how many, at least 1.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        return sampled(self.mdp, self.log_initial, self.at, num_samples, seed)

    @torch.no_grad()
    def mode(self) -> Trajectory:
        r"""The most probable trajectory and its log-probability, by max-product messages (Viterbi).

        $$M_t(s) = \max_{a,k} \log \pi_t(a \mid s) + \log q_t(k \mid s,a)
            + \max(\log\gamma_t + M_{t+1}(s'), \log(1-\gamma_t))$$

        Among equally probable trajectories it is the first, by action, then by outcome.
        """
        mdp, survival = self.mdp, self.survival
        ahead = self.log_initial.new_zeros(mdp.num_states)
        best, survives = [], []
        for t in reversed(range(mdp.horizon)):
            live, end = survival[t].log() + ahead, (1.0 - survival[t]).log()
            scores = self.log_policy[t][..., None] + self.log_dynamics[t] + torch.maximum(live, end)[mdp.successor]
            ahead, index = scores.flatten(1).max(-1)
            best.append(index)
            survives.append(live >= end)
        state = int((self.log_initial + ahead).argmax())
        total = float((self.log_initial + ahead)[state])
        states, actions, outcomes = [state], [], []
        for index, live in zip(reversed(best), reversed(survives), strict=True):
            if state == mdp.num_states:
                action, outcome = 0, 0
            else:
                action, outcome = divmod(int(index[state]), mdp.num_outcomes)
                state = int(mdp.successor[state, action, outcome])
                state = state if bool(live[state]) else mdp.num_states
            states.append(state)
            actions.append(action)
            outcomes.append(outcome)
        path = [torch.tensor(each, device=self.log_initial.device) for each in (states, actions, outcomes)]
        return Trajectory(path[0], path[1], path[2], total)

    def __repr__(self) -> str:
        """The problem and the kind of survival, without the tables."""
        survival = "clamped" if self.log_survival is None else "its own"
        return f"Blocks(over the trajectories of {self.mdp!r}, survival {survival})"


@runtime_checkable
class HasBlocks(Protocol, metaclass=MembersOnce):
    """Anything that factors as `Blocks`: a model, a `MarkovGuide`, a `Posterior`."""

    def blocks(self) -> Blocks:
        """The factors, freshly computed; differentiable where they have parameters."""
        ...


@runtime_checkable
class Assignable(HasBlocks, Protocol, metaclass=MembersOnce):
    """A guide whose blocks are tables that can be set, as every method of `fit` but SVI and EM requires."""

    @property
    def optimism(self) -> Optimism:
        """β of each block: 1/β is the price of a nat of change; β = 1 is free, at par, and β = 0 is clamped.

        The guide is fitted to the objective $J_β$, which is the ELBO if every β is 0 or 1.
        """
        ...

    def optimum(self) -> Blocks:
        """The exact optimum among the blocks that the guide can represent."""
        ...

    def assign(self, blocks: Blocks) -> None:
        """Set the parameters so that `blocks()` returns these; blocks that the guide may not change are ignored.

        Raises:
            InvalidGuide: if a block gives mass to an event that the guide gives none.
        """
        ...


@runtime_checkable
class MarkovModel(HasBlocks, Protocol, metaclass=MembersOnce):
    """What inference requires of a tabular model; `TabularModel` is one."""

    def __call__(self) -> None:
        """Run as a Pyro program."""
        ...

    @property
    def mdp(self) -> TabularMDP:
        """The problem, an MDP."""
        ...

    @property
    def temperature(self) -> float | Any:
        """The temperature τ, in reward units per nat; a tensor (time_and_last,) if it depends on time."""
        ...

    @property
    def action_prior(self) -> Float[Tensor, "*time state action"]:
        """The action prior, ρ(a|s): probabilities, or 1 for each action that is counted. See `action_measure`."""
        ...


def blocks_of(guide: HasBlocks, name: str = "guide") -> Blocks:
    """The blocks of a guide, a posterior or a model.

    Raises:
        InvalidGuide: if it is a class, has no `blocks()`, or these are not `Blocks`.
    """
    if isinstance(guide, type):
        raise InvalidGuide(f"`{name}` must be a guide, but is {shown(guide)}. Pass {guide.__name__}(model).")
    if not isinstance(guide, HasBlocks):
        raise InvalidGuide(f"`{name}` must have blocks(), as guides and posteriors have, but is {shown(guide)}.")
    found = guide.blocks()
    if not isinstance(found, Blocks):
        raise InvalidGuide(
            f"`blocks()` of the guide must return Blocks, but returns {shown(found)}. Start from those of the model: "
            "return self.model.blocks().replace(log_policy=…)."
        )
    return found


M = TypeVar("M")

_models: set[type] = set()  # those that passed: checking a protocol takes longer than solving a small problem
_trusted: set[type] = set()  # those whose blocks are the tables of their problem by definition


def require_model(
    model: object, in_nats: bool = False, name: str = "model", timed: bool = False, graph: bool = False
) -> "MarkovModel":
    r"""The argument `name`, checked to be a tabular model and, if `in_nats`, to have a positive temperature.

    Unless `timed`, all its steps must have the same tables and the factor $\exp(r/\tau)$.

    Unless `graph`, its tables must not require gradients.

    Raises:
        InvalidArgument: if not, saying what it is and the remedy; also if its blocks are not the tables of its problem
            and its action prior at every time, which is not supported.
    """
    if isinstance(model, type) or (type(model) not in _models and not isinstance(model, MarkovModel)):
        kind = shown(model) if model is None or isinstance(model, type) else f"a {type(model).__name__}"
        why = None if isinstance(model, type) else getattr(model, "why_clamped", None)
        reason = f" {why()}" if callable(why) else ""
        if (there_is := what_takes(model)) is not None:
            reason = f" {there_is}"
        elif not isinstance(model, type) and without_condition(model)[1]:
            reason = " Only infer takes `pyro.condition` of one. Pass the model itself."
        elif callable(model) and not isinstance(model, type) and not reason:
            reason = " For a Pyro program without tables, estimate(model, guide) and smc(model, guide, …) sample."
        raise InvalidArgument(
            f"`{name}` must be a tabular model, such as TabularModel(mdp, temperature), but is {kind}.{reason}"
        )
    _models.add(type(model))
    if not graph:
        require_numbers(name, model.mdp, model.action_prior, InvalidArgument)  # pyright: ignore[reportAttributeAccessIssue]
    if not has_own_tables(model):
        _require_own_tables(model)  # pyright: ignore[reportArgumentType]
    if not timed:
        require_plain(model, name)
    if in_nats and temperature_at(model, 0) == 0:  # pyright: ignore[reportAttributeAccessIssue]
        raise InvalidArgument(
            f"`{name}` must have a positive temperature, but has 0, where rewards cannot be converted to nats. "
            "Use a small one, or evaluate the policy in TabularModel(mdp, temperature) with another temperature: its "
            "returns are the same."
        )
    return model  # pyright: ignore[reportReturnType]  checked above


def require_room_for_policy(model: MarkovModel) -> None:
    """Refuse a model whose policy, a table by time, state and action, does not fit into memory.

    Raises:
        InvalidArgument: with the size in words.
    """
    mdp = model.mdp
    require_room(
        "model", f"the action probabilities of {mdp.horizon:,} steps", mdp.horizon * mdp.num_states * mdp.num_actions,
        mdp.initial.element_size(), "Shorten the horizon, mdp.replace(horizon=…).",
    )  # fmt: skip


def trusted_blocks(kind: type[M]) -> type[M]:
    """Exempt a class of models from the check of its blocks: they are the tables of its problem by definition."""
    _trusted.add(kind)
    return kind


def has_own_tables(model: object) -> bool:
    """Whether the blocks of the model are the tables of its problem by definition."""
    return type(model) in _trusted


def _require_own_tables(model: MarkovModel) -> None:
    """Refuse a model whose blocks depend on time, or differ from its problem, which some methods would ignore."""
    blocks, mdp = model.blocks(), model.mdp
    tables = {"log_initial": mdp.initial, "log_policy": model.action_prior, "log_dynamics": mdp.probability}
    for name, own in tables.items():
        given = getattr(blocks, name).detach()
        given = given[:1] if given.ndim > own.ndim and given.stride(0) == 0 else given
        if given.shape[-own.ndim :] != own.shape or not bool(((given.exp() - own).abs() <= _SAME).all()):
            raise InvalidArgument(
                "`model.blocks()` must be the tables of `model.mdp` and `model.action_prior` at every time step, but "
                f"`{name}` differs from them. If it depends on time, put the time into the state: a TabularMDP over "
                "pairs (t, s)."
            )
    if blocks.log_survival is not None:
        raise InvalidArgument("`model.blocks()` must not have `log_survival`: survival is the discount of the problem.")


def in_nats(value: float | Any, model: MarkovModel) -> float | Any:
    """The objective of a value: the value over τ_0, in nats; None at temperature 0, where rewards have no nats."""
    temperature = temperature_at(model, 0)
    return value / temperature if temperature > 0 else None
