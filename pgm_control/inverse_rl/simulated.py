"""Learning the reward in a live environment, where there are no tables: a network, and a learner that follows it.

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
from ..learners import SAC, SoftQLearning
from ..runtime.arguments import whole
from ..runtime.loop import Loop
from ..runtime.progress import Progress, silent
from ..runtime.randomness import integer_of, seeded
from ..text.one_line import one_line
from .inverse import InverseStatus
from .objective import log_prior


class Recording(NamedTuple):
    """An episode of a demonstrator in a live environment."""

    observations: Sequence[Any]
    """As the environment gives them, the last one included: one more than actions."""
    actions: Sequence[Any]
    """As the environment takes them."""
    terminated: bool = True

    __repr__ = one_line
    """The episode was over; False where only the recording was."""


class Episodes(NamedTuple):
    """Episodes side by side, padded to the longest."""

    observations: Float[Tensor, "episode time feature"]
    actions: Num[Tensor, "episode time ..."]
    reached: Float[Tensor, "episode time feature"]
    alive: Bool[Tensor, "episode time"]
    """Whether there was a step."""
    log_ratio: Float[Tensor, " episode"]
    """Of the policy that made them and the prior: log π/ρ of all actions, in nats."""


class Round(NamedTuple):
    """How things stood after a round."""

    number: int
    demonstrated: float
    """Mean discounted return of the recordings by the learned reward, in its units."""
    earned: float
    """That of the policy, or with a free demonstrator of the partition function's episodes."""
    effective: float
    """The effective number of episodes that stand for the model."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class SimulatedInverse:
    """A reward that was learned in a live environment.

    Attributes:
        reward: the module that was passed in, now fitted.
        learner: with the policy that is optimal for it, as far as it was learned. Its evaluations are by the true
            rewards of the environment.
        rounds: what was measured.
        status: how it ended; `status.message` explains it.
        seconds: how long it took.
    """

    reward: torch.nn.Module
    learner: SoftQLearning | SAC
    rounds: tuple[Round, ...]
    status: InverseStatus
    seconds: float

    def __repr__(self) -> str:
        """Where the two returns are."""
        last = self.rounds[-1] if self.rounds else Round(0, math.nan, math.nan, math.nan)
        return (
            f"SimulatedInverse(by the learned reward the demonstrations earn {last.demonstrated:.4g}, the policy "
            f"{last.earned:.4g}, after {len(self.rounds)} rounds, {self.learner.total_steps} steps, "
            f"{self.seconds:.0f} s)"
        )


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

    π is learned in between by a soft learner whose transitions are paid by $r_\psi$ as it is at the time: it starts
    warm in every round, and nothing in its memory is out of date. For the clamped demonstrator all $w_j$ are alike, and
    π is to be optimal. For the free one the same episodes estimate the partition function of trajectories: they are
    weighted by $w_j \propto \exp(\sum_t r_\psi / \tau - \log \pi / \rho)$, in which the dynamics cancel, and π is but
    a proposal. Where nothing is left to chance, and π is optimal, the weights are alike and the two are one.

    Args:
        env: as for the learners; its own rewards do not count.
        recordings: of the demonstrator.
        reward: a module from rows of features to (…) or (…, 1): those of the observation, then the action (one-hot, or
            in $[-1, 1]^d$), then those of the observation that it led to; in float32, in reward units.
        demonstrator: "clamped" or "free".
        learner: a `SoftQLearning`, or a `SAC` with a fixed temperature, to start from; made unless given, with the
            temperature, discount and seed. It is taught by the reward from here on.
        temperature: τ of a learner that is made.
        discount: γ of a learner that is made.
        num_rounds: how often the reward moves.
        steps_per_round: of the environment that the learner learns in between.
        num_episodes: of the policy in a round.
        horizon: steps after which episodes are cut, those of recordings too; unless given, the longest recording, or
            the shortest of those that stopped before the episode was over.
        learning_rate: of Adam, for the reward.
        prior: σ of a Gaussian prior of each parameter; None for none: then a reward may grow without end.
        seed: an integer, a generator, or None for torch's global generator: for episodes, and for a learner that is
            made.
        progress: called with the round and its numbers.

    Raises:
        InvalidArgument: naming the argument, or the recording that is empty or too short, or does not fit the spaces.

    References:
        [finn2016], [ziebart2010], [haarnoja2017]
    """
    if demonstrator not in ("clamped", "free"):
        raise InvalidArgument(f'`demonstrator` must be "clamped" or "free" here, but is {demonstrator!r}.')
    for name, count in (
        ("num_rounds", num_rounds),
        ("steps_per_round", steps_per_round),
        ("num_episodes", num_episodes),
    ):
        whole(name, count)
    base = integer_of(seed)
    if isinstance(env, VectorEnv):
        raise InvalidArgument(
            "`env` must be an id or a function here, but is a vector of environments: copies are made."
        )
    if learner is None:
        learner = SoftQLearning(env, temperature=temperature, discount=discount, seed=base)
    if not isinstance(learner, SoftQLearning | SAC) or learner.config["temperature"] == "auto":
        raise InvalidArgument(
            "`learner` must be a SoftQLearning, or a SAC with a fixed temperature: the reward is known in units of it."
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
    optimiser, log = torch.optim.Adam(parameters, lr=learning_rate), []
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
    """An episode of the present policy in each world, of at most `length` steps; draws are from torch's generator.

    Args:
        worlds: where.
        learner: whose policy.
        length: steps after which an episode is cut.
        turn: which of the episodes of these worlds; the same one starts alike.
    """
    number = worlds.number
    worlds.restore({"episodes": [turn] * number, "actions": {}})
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
    r"""How much each episode counts for the posterior: $w_j \propto \exp(\sum_t r / \tau - \log \pi / \rho)$."""
    return torch.softmax(paid / temperature - made.log_ratio, 0)


def _drawn(learner: SoftQLearning | SAC, features: Float[Tensor, "batch feature"]) -> tuple[Tensor, Tensor]:
    """Actions, and log π/ρ of each; zeros where the policy has no density."""
    prior = learner.prior
    if learner.actions.is_discrete:
        log_policy = learner.log_policy(features) if isinstance(learner, SoftQLearning) else learner.actor(features)
        action = torch.multinomial(log_policy.exp(), 1)
        return action[:, 0], (log_policy - prior.log_probabilities(features)).gather(1, action)[:, 0]
    if isinstance(learner, SoftQLearning):
        return learner.act(features, False), features.new_zeros(len(features))
    action, log_prob = learner.actor(features).rsample_with_log_prob()
    return action, log_prob - prior.log_density(features, action)


def _payer(reward: torch.nn.Module, actions: Actions) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The module as a function of observations, actions and what they led to."""

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
    """Recordings as features."""
    if len(recordings) == 0:
        raise InvalidArgument("`recordings` must be at least one, but are none.")
    for i, each in enumerate(recordings):
        if len(each.actions) == 0 or len(each.observations) != len(each.actions) + 1:
            raise InvalidArgument(
                f"Recording {i} must have at least one action and one observation more than actions, but has "
                f"{len(each.actions)} and {len(each.observations)}. Keep the observation after the last action."
            )
        for t, action in enumerate(each.actions):
            if not actions.space.contains(_as_of(actions, action)):
                raise InvalidArgument(
                    f"Recording {i} must do actions of {actions.space}, but at time {t} does {action}."
                )
    known = max(len(each.actions) for each in recordings)
    cut = [len(each.actions) for each in recordings if not each.terminated]  # nobody knows how these went on
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
