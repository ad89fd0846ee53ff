"""Inverse reinforcement learning in a live environment without tables: a reward module and a soft learner.

Sources:
    [finn2016] C. Finn, S. Levine and P. Abbeel, Guided cost learning: deep inverse optimal control via policy
        optimization. International Conference on Machine Learning, Proceedings of Machine Learning Research 48, pages
        49–58, 2016. arXiv:1603.00448
    [haarnoja2017] T. Haarnoja et al., Reinforcement learning with deep energy-based policies. International Conference
        on Machine Learning, Proceedings of Machine Learning Research 70, pages 1352–1361, 2017. arXiv:1702.08165
    [ziebart2010] B. D. Ziebart, Modeling purposeful adaptive behavior with the principle of maximum causal entropy.
        Carnegie Mellon University, 2010.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from jaxtyping import Bool, Float, Num
from torch import Tensor

from ..environments.copies import WorldSource
from ..environments.spaces import Actions, Observations
from ..environments.vector_environments import Worlds
from ..errors import InvalidArgument
from ..inference.variational.optimisers import Adam
from ..learners import SAC, SoftQLearning
from ..runtime.arguments import one_of, whole
from ..runtime.loop import Loop
from ..runtime.progress import Progress, silent
from ..runtime.randomness import integer_of, seeded
from ..text.one_line import one_line
from .objective import log_prior
from .search.status import InverseStatus


class Recording(NamedTuple):
    """An episode of a demonstrator in a live environment."""

    observations: Sequence[Any]
    """The observations of the environment, including the last one: one more than actions."""
    actions: Sequence[Any]
    """The actions in the form that the environment takes."""
    terminated: bool = True

    __repr__ = one_line
    """Whether the episode was over; False if only the recording was stopped."""


class Episodes(NamedTuple):
    """A batch of episodes, padded to the longest."""

    observations: Float[Tensor, "episode time feature"]
    actions: Num[Tensor, "episode time ..."]
    reached: Float[Tensor, "episode time feature"]
    alive: Bool[Tensor, "episode time"]
    """Whether the step belongs to the episode, not to the padding."""
    log_ratio: Float[Tensor, " episode"]
    """Log π/ρ of all actions, in nats, of the policy that sampled them and the action prior."""


class Round(NamedTuple):
    """Measurements after a round."""

    number: int
    demonstrated: float
    """Mean discounted return of the recordings under the learned reward, in its units."""
    earned: float
    """The same return of the policy, or of the weighted episodes with a free demonstrator."""
    effective: float
    """The effective number of the sampled episodes."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class SimulatedInverse:
    """A reward that was learned in a live environment.

    Attributes:
        reward: the module that was passed in, now fitted.
        learner: the learner, with its approximation of the policy that is optimal for this reward. Its evaluations use
            the true rewards of the environment.
        rounds: the measurements after each round.
        status: how the search ended; `status.message` explains it.
        seconds: the time that it took.
    """

    reward: torch.nn.Module
    learner: SoftQLearning | SAC
    rounds: tuple[Round, ...]
    status: InverseStatus
    seconds: float

    def __repr__(self) -> str:
        """Both returns, and the amount of work."""
        last = self.rounds[-1] if self.rounds else Round(0, math.nan, math.nan, math.nan)
        return (
            f"SimulatedInverse(under the learned reward the demonstrations earn {last.demonstrated:.4g}, the policy "
            f"{last.earned:.4g}, after {len(self.rounds)} rounds, {self.learner.total_steps} steps, "
            f"{self.seconds:.0f} s, {self.status.name})"
        )

    def findings(self) -> list[str]:
        """Sentences on the status, and on what recordings in a live environment cannot identify."""
        return [
            self.status.message,
            "Identification: not computed, for want of tables of the dynamics. No recordings identify a constant in "
            "every reward if all episodes have one length, nor a shaping γφ(s′) − φ(s); a clamped demonstrator is "
            "indifferent to pay for luck too; and where no recording went, the reward is a guess of the network. For "
            "discrete states `inverse` names the directions that are not identified.",
        ]

    def __str__(self) -> str:
        """The measures, the status, and what is not identified."""
        return "\n".join([repr(self), *self.findings()])


def inverse_in_simulator(
    env: WorldSource,
    recordings: Sequence[Recording],
    reward: torch.nn.Module,
    demonstrator: Literal["clamped", "free"] = "clamped",
    *,
    learner: SoftQLearning | SAC | None = None,
    temperature: float = 1.0,
    discount: float = 0.99,
    num_rounds: int = 50,
    steps_per_round: int = 1000,
    num_episodes: int = 16,
    horizon: int | None = None,
    learning_rate: float = 3e-3,
    prior: float | None = 10.0,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
) -> SimulatedInverse:
    r"""Maximum-entropy inverse reinforcement learning by sampling.

    $$\tau \nabla_\psi = \mathbb{E}_\text{demo} \sum_t \gamma^t \nabla r_\psi
        - \sum_j w_j \sum_t \gamma^t \nabla r_\psi(\xi_j), \qquad \xi_j \sim \pi$$

    A soft learner updates π between the updates of the reward. It continues from the round before, and its transitions
    are always paid by the present $r_\psi$, so that nothing in its replay memory is out of date. For the clamped
    demonstrator all $w_j$ are equal, and π must be optimal. For the free one the same episodes estimate the partition
    function over trajectories, with the weights $w_j \propto \exp(\sum_t r_\psi / \tau - \log \pi / \rho)$, in which
    the dynamics cancel; π is only a proposal. If the dynamics are deterministic and π is optimal, the weights are equal
    and both demonstrators give the same gradient.

    Args:
        env: as for the learners; its own rewards are ignored.
        recordings: the episodes of the demonstrator.
        reward: a module that maps rows of features to (…) or (…, 1), in reward units. A row holds the features of the
            observation, the action (one-hot, or in $[-1, 1]^d$) and the features of the next observation, in float32.
        demonstrator: "clamped" or "free".
        learner: a `SoftQLearning`, or a `SAC` with a fixed temperature, to start from; its transitions are paid by
            `reward` from now on. Default: a new `SoftQLearning` with the temperature, discount and seed.
        temperature: τ of the default learner.
        discount: γ of the default learner.
        num_rounds: the number of updates of the reward.
        steps_per_round: the steps of the environment between two updates, for the learner.
        num_episodes: the number of episodes of the policy in a round.
        horizon: the number of steps after which episodes and recordings are cut; default: the length of the longest
            recording, or that of the shortest one that stopped before its episode was over.
        learning_rate: the learning rate of Adam, for the reward.
        prior: σ of a Gaussian prior on each parameter; None for no prior, with which the reward may grow without bound.
        seed: an integer, a generator, or None for torch's global generator: for episodes, and for the default learner.
        progress: called with the round and its numbers.

    Raises:
        InvalidArgument: if an argument is invalid, or a recording is empty, too short, or does not fit the spaces; the
            message names it.

    References:
        [finn2016], [ziebart2010], [haarnoja2017]
    """
    one_of("demonstrator", demonstrator, ("clamped", "free"))
    num_rounds, steps_per_round = whole("num_rounds", num_rounds), whole("steps_per_round", steps_per_round)
    num_episodes = whole("num_episodes", num_episodes)
    base = integer_of(seed)
    if isinstance(env, VectorEnv):
        raise InvalidArgument(
            "`env` must be an id or a function here, but is a vector of environments: copies are made."
        )
    if learner is None:
        learner = SoftQLearning(env, temperature=temperature, discount=discount, seed=base)
    if not isinstance(learner, SoftQLearning | SAC) or learner.config["temperature"] in ("auto", 0) or learner.masks:
        raise InvalidArgument(
            "`learner` must be a SoftQLearning or a SAC, without action masks, with a fixed and positive temperature: "
            "it is the unit of the reward."
        )
    if demonstrator == "free" and isinstance(learner, SoftQLearning) and not learner.actions.is_discrete:
        raise InvalidArgument(
            "`learner` must have a policy with a density for a free demonstrator: in a box pass a SAC with a fixed "
            "temperature."
        )
    tau, gamma = float(learner.config["temperature"]), float(learner.config["discount"])
    shown = _padded(recordings, learner.observations, learner.actions, horizon)
    length = shown.alive.shape[1]
    worlds = Worlds(env, num_episodes, base)
    pay = _payer(reward, learner.actions)
    learner.pay_by(lambda batch: pay(batch.observation, batch.action, batch.next_observation))
    parameters = [each for each in reward.parameters() if each.requires_grad]
    optimiser, log = Adam(parameters, lr=learning_rate), []
    # The first round is number 0.
    loop = Loop(InverseStatus.out_of_steps, limit=num_rounds - 1, begin=-1, progress=progress)
    with loop:
        for number in loop:
            learner.learn(learner.total_steps + steps_per_round)
            with seeded(base + 7919 * (number + 1)):
                made = sample_episodes(worlds, learner, length, number)
            theirs, own = (_returns(pay, each, gamma) for each in (shown, made))
            weight = torch.full_like(own, 1 / num_episodes)
            if demonstrator == "free":
                weight = partition_weights(made, _returns(pay, made, 1.0).detach(), tau)
            loss = -(theirs.mean() - weight @ own) / tau
            if prior is not None:
                loss = loss - log_prior(parameters, prior) / len(recordings)
            optimiser.zero_grad()
            loss.backward()
            if not all(bool(each.grad.isfinite().all()) for each in parameters if each.grad is not None):
                loop.end(InverseStatus.not_finite)
                break
            optimiser.step()
            found = Round(
                number, float(theirs.detach().mean()), float((weight @ own).detach()), 1 / float(weight @ weight)
            )
            log.append(found)
            loop.report({"demonstrated": found.demonstrated, "earned": found.earned, "effective": found.effective})
    worlds.close()
    return SimulatedInverse(reward, learner, tuple(log), loop.status, loop.seconds)


@torch.no_grad()
def sample_episodes(worlds: Worlds, learner: SoftQLearning | SAC, length: int, turn: int) -> Episodes:
    """Return an episode of the present policy in each world, of at most `length` steps, drawn by torch's generator.

    Args:
        worlds: the copies of the environment.
        learner: the learner with the policy.
        length: the number of steps after which an episode is cut.
        turn: the number of the episode in these worlds; episodes with the same number have the same start.
    """
    number = worlds.number
    worlds.begin([turn] * number)
    features = learner.observations(worlds.observations)
    running, rows, total = torch.ones(number, dtype=torch.bool), [], torch.zeros(number)
    for _ in range(length):
        action, log_ratio = _drawn(learner, features)
        found = worlds.step(learner.actions.to_environment(action))
        reached = learner.observations(found.reached)
        rows.append((features, action, reached, running.clone()))
        total += torch.where(running, log_ratio, 0.0)
        running &= ~torch.from_numpy(found.terminated | found.truncated)
        features = learner.observations(found.observations)
        if not running.any():
            break
    observed, done, reached, alive = (torch.stack(each, 1) for each in zip(*rows, strict=True))
    return Episodes(observed, done, reached, alive, total)


def partition_weights(made: Episodes, paid: Float[Tensor, " episode"], temperature: float) -> Float[Tensor, " episode"]:
    r"""The posterior weight of each episode, $w_j \propto \exp(\sum_t r / \tau - \log \pi / \rho)$."""
    return torch.softmax(paid / temperature - made.log_ratio, 0)


def _drawn(learner: SoftQLearning | SAC, features: Float[Tensor, "batch feature"]) -> tuple[Tensor, Tensor]:
    """Return actions, and log π/ρ of each; zeros if the policy has no density."""
    prior, seen = learner.prior, learner.normalised(features)
    if learner.actions.is_discrete:
        log_policy = learner.log_policy(features) if isinstance(learner, SoftQLearning) else learner.actor(seen)
        action = torch.multinomial(log_policy.exp(), 1)
        return action[:, 0], (log_policy - prior.log_probabilities(features)).gather(1, action)[:, 0]
    if isinstance(learner, SoftQLearning):
        return learner.act(features, False), features.new_zeros(len(features))
    action, log_prob = learner.actor(seen).rsample_with_log_prob()
    return action, log_prob - prior.log_density(features, action)


def _payer(reward: torch.nn.Module, actions: Actions) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the module as a function of observations, actions and next observations."""

    def pay(observation: Tensor, action: Tensor, reached: Tensor) -> Tensor:
        flat = torch.nn.functional.one_hot(action, actions.size).to(observation) if actions.is_discrete else action
        found = reward(torch.cat((observation, flat, reached), -1))
        return found[..., 0] if found.ndim == observation.ndim else found

    return pay


def _returns(
    pay: Callable[[Tensor, Tensor, Tensor], Tensor], of: Episodes, discount: float
) -> Float[Tensor, " episode"]:
    found = pay(of.observations, of.actions, of.reached)
    fades = discount ** torch.arange(found.shape[1])
    return (torch.where(of.alive, found, 0.0) * fades).sum(-1)


def _padded(
    recordings: Sequence[Recording], observations: Observations, actions: Actions, horizon: int | None
) -> Episodes:
    """Return the recordings as a batch of episodes in features, cut to `horizon` and padded to a common length."""
    if len(recordings) == 0:
        raise InvalidArgument("`recordings` must be at least one, but are none.")
    for i, each in enumerate(recordings):
        if len(each.actions) == 0 or len(each.observations) != len(each.actions) + 1:
            raise InvalidArgument(
                f"Recording {i} must have at least one action and one observation more than actions, but has "
                f"{len(each.actions)} and {len(each.observations)}. Keep the observation after the last action."
            )
        for t, seen in enumerate(each.observations):
            if not observations.is_single(seen):
                raise InvalidArgument(
                    f"Recording {i} must contain only finite observations of {observations.space}, but at time {t} has "
                    f"{seen!r}."
                )
        for t, action in enumerate(each.actions):
            if not actions.space.contains(_as_of(actions, action)):
                raise InvalidArgument(
                    f"Recording {i} must contain only actions of {actions.space}, but at time {t} has {action}."
                )
    known = max(len(each.actions) for each in recordings)
    cut = [len(each.actions) for each in recordings if not each.terminated]  # their continuation is unknown
    length = min(known, *cut, horizon or known)
    blank = Episodes(
        torch.zeros(len(recordings), length, observations.features),
        torch.zeros(len(recordings), length, *(() if actions.is_discrete else (actions.size,)), dtype=_kind(actions)),
        torch.zeros(len(recordings), length, observations.features),
        torch.zeros(len(recordings), length, dtype=torch.bool),
        torch.zeros(len(recordings)),
    )
    for i, each in enumerate(recordings):
        n = min(len(each.actions), length)
        seen = observations(list(each.observations[: n + 1]))
        blank.observations[i, :n], blank.reached[i, :n] = seen[:-1], seen[1:]
        blank.actions[i, :n] = actions.from_environment(np.asarray(each.actions[:n]))
        blank.alive[i, :n] = True
    return blank


def _kind(actions: Actions) -> torch.dtype:
    return torch.int64 if actions.is_discrete else torch.float32


def _as_of(actions: Actions, action: Any) -> Any:
    return int(action) if actions.is_discrete else np.asarray(action, dtype=actions.space.dtype)
