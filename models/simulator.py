"""A Gymnasium environment as a Pyro program whose dynamics are only sampled.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import pyro
import torch
from jaxtyping import Bool, Float, Num
from pyro import poutine
from torch import Tensor
from torch.distributions import Distribution

from pgm_control.environments.action_prior import Chooser, action_prior_of
from pgm_control.environments.copies import WorldSource
from pgm_control.environments.episodes import Episodes, Unknown
from pgm_control.environments.spaces import Actions, Observations
from pgm_control.environments.statistics import check_of_statistics, restore_statistics, statistics_of
from pgm_control.errors import InvalidArgument, InvalidGuide, InvalidProblem, UnsupportedEnvironment
from pgm_control.problems.mdp import TabularMDP
from pgm_control.runtime.arguments import fraction, positive, whole_or_none
from pgm_control.runtime.checkpoint_checks import fields, number
from pgm_control.runtime.moving import place_of
from pgm_control.runtime.randomness import integer_of

_LEAST_WEIGHT = 1e-300  # the least weight of a step: γ^t may underflow to 0, which Pyro refuses as a scale


@final
class SimulatorModel:
    r"""A distribution over episodes of an environment, with optimality variables of likelihood $\exp(r/\tau)$.

    $$\tilde p = p(s_0) \prod_t \rho(a_t \mid s_t)\, p(s_{t+1}, r_t \mid s_t, a_t)\, \exp(r_t/\tau)$$

    The dynamics p are unknown: stepping the environment samples them. A *clamped* guide needs no density of p, because
    its dynamics are the same and cancel; the log-probability is written as 0 on both sides. Replayed against a guide,
    the model takes the guide's outcomes and does not step the environment again. The program has the layout of
    `TabularModel`, in a plate of N episodes, each of which is a particle. The program is weighted by 1/N, so that the
    ELBO is that of one episode, in nats.

    | site | values | unit |
    |---|---|---|
    | `state_t` | (N, F) features of the observation | |
    | `action_t` | (N,) index, or (N, d) in [−1, 1]^d | |
    | `outcome_t` | (N, F + 3): next observation, reward, terminated, truncated | reward |
    | `optimality_t` | (N,) log-factor r/τ | nats |

    Sites of ended episodes are masked. With a discount γ < 1 the agent survives until step t with probability γ^t,
    independently of everything else, so in expectation the factor and log π/ρ of step t count γ^t times. They are
    weighted by γ^t, which gives the same objective as sampling survival, with less variance. (The scale of the sites
    does this; it would be wrong if sites were enumerated, but these cannot be.)

    `terminated` and `truncated` are distinguished. After termination, or after `horizon`, there is no further reward.
    After truncation there would be, and `ToGoELBO` takes it from its baseline. `infer["truncated"]` of a `state_t`
    marks the episodes truncated there.

    Attributes:
        problem: the environment, as given: an id, a spec, an environment, a function or a vector.
        observations, actions: the spaces, as tensors.
        num_envs, horizon, seed: N, T, and the seed of the episodes.
        num_resets: how many times the episodes have been reset. The next episodes depend only on it and on `seed`; set
            it to get the same episodes again.
        device, dtype: those of the tensors; `to` changes them.
        returns, lengths: the undiscounted returns of the latest episodes, in reward units, and their lengths in steps.

    References:
        [levine2018]
    """

    def __init__(
        self,
        env: WorldSource,
        temperature: float = 1.0,
        action_prior: Callable[[Tensor], Any] | Sequence[Any] | Tensor | np.ndarray | None = None,
        horizon: int | None = None,
        num_envs: int | None = None,
        seed: int | torch.Generator | None = None,
        discount: float = 1.0,
    ) -> None:
        r"""Define the model.

        Args:
            env: an id, a spec, an environment (copied from its spec if it has one), a function that makes one, or a
                vector of environments with any autoreset mode.
            temperature: τ, in reward units per nat.
            action_prior: ρ(a|s): probabilities, (A,) for all states, or (S, A) where these are Discrete; or a function
                from observations (N, F) to a Pyro distribution over actions. Default: uniform, 1/A or $2^{-d}$.
            horizon: T, the number of actions, after which there is no further reward. Default: the environment's own
                time limit, which truncates. A policy that depends on time must observe it.
            num_envs: N, the number of parallel episodes; default: 1, or that of the vector. Copies are made from the
                environment's spec.
            seed: an integer, a generator, or None for torch's global generator. From the last two an integer is drawn,
                which is `model.seed`. Each episode is reset with its own seed, derived from it.
            discount: γ, the probability of surviving a step.

        Raises:
            InvalidArgument, UnsupportedEnvironment: if an argument does not fit; the message names it and the remedy.
        """
        self.temperature = positive("temperature", temperature, "number of reward units per nat")
        self.discount = fraction("discount", discount, remedy="It is the probability of surviving a step.")
        horizon = whole_or_none("horizon", horizon)
        self.problem = env
        self._world = Episodes.of(env, num_envs)
        self.num_envs = self._world.num_envs
        self.observations = Observations(self._world.observation_space)
        self.actions = Actions(self._world.action_space)
        limit = self._world.limit if horizon is None else horizon
        if limit is None:
            raise InvalidArgument("`horizon` must be given for an environment without a time limit, but is None.")
        self.horizon, self._is_end = limit, horizon is not None
        self.seed = integer_of(seed)
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.num_resets = 0
        self._given_prior = action_prior
        self._prior = self._checked_prior()
        self._clock = -1
        self.returns, self.lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        self._made: dict[int, list[weakref.ref[Tensor]]] = {}

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "SimulatorModel":
        """Put all tensors sampled from now on onto another device, or into another floating dtype.

        The environment is stepped as before. The model is changed in place, as torch modules are.

        Args:
            device: a torch device; default: unchanged, which is the CPU at first.
            dtype: torch.float64 or torch.float32; default: unchanged, which is torch.float32 at first.

        Returns:
            The model itself.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
        """
        like = torch.empty(0, device=self.device, dtype=self.dtype)
        self.device, self.dtype = place_of(like, device, dtype)
        self._prior = self._checked_prior()
        return self

    def __call__(self) -> None:
        """Run the model as a Pyro program."""
        self.run(self.prior, is_model=True)

    def prior(self, observation: Float[Tensor, "batch feature"]) -> Distribution:
        """The action prior ρ of a batch of observations."""
        return self._prior(observation)

    def run(self, policy: Chooser, is_model: bool = False) -> None:
        r"""Sample `state_0, action_0, outcome_0, …` by a policy; in the model, add the factors `optimality_t`.

        Raises:
            InvalidGuide: if a replayed outcome does not come from the environment, or an action is nan.
            EnvironmentFailure: if the environment raises an error, or its answers are not those of Gymnasium's
                interface.
        """
        alive: Any = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        width = self.observations.features
        with pyro.plate("episodes", self.num_envs, dim=-1):
            with poutine.scale(scale=1.0 / self.num_envs):
                state = pyro.sample("state_0", self._unknown(width, self._reset))
            for t in range(self.horizon):
                with poutine.mask(mask=alive), poutine.scale(scale=self._weight(t)):
                    choice: Any = policy(state)
                    action = pyro.sample(f"action_{t}", choice)
                    stepped = self._unknown(width + 3, lambda t=t, a=action, on=alive: self._step(t, a, on))
                    outcome = pyro.sample(f"outcome_{t}", stepped)
                    self._require_made(t, outcome)
                    step = unpacked(outcome)
                    if is_model:
                        pyro.factor(f"optimality_{t}", step.reward / self.temperature)
                is_cut = alive & step.truncated & ~step.terminated & (not self._is_end or t + 1 < self.horizon)
                alive = alive & ~step.terminated & ~step.truncated
                with poutine.mask(mask=alive), poutine.scale(scale=self._weight(t + 1)):
                    arrival = self._unknown(width, lambda there=step.next_observation: there)
                    cut: Any = {"truncated": is_cut}
                    state = pyro.sample(f"state_{t + 1}", arrival, infer=cut)
                if not alive.any():
                    return

    def why_clamped(self) -> str:
        """A message that explains why this model has no free guide, and what to do."""
        try:
            TabularMDP.from_gymnasium(self._world.first, horizon=self.horizon)  # pyright: ignore[reportArgumentType]
            remedy = (
                "This environment carries its table, so there is a model that has one: "
                "TabularModel(TabularMDP.from_gymnasium(env), temperature)."
            )
        except (UnsupportedEnvironment, InvalidProblem, InvalidArgument, TypeError):
            remedy = "Take SimulatedGuide(model), or build a TabularMDP of the problem."
        return (
            "A SimulatorModel samples its dynamics by stepping the environment and has no density of them that a free "
            f"guide could tilt: only clamped guides fit it. {remedy}"
        )

    def state(self) -> dict[str, Any]:
        """What the next episodes depend on besides the seed, for a checkpoint between episodes.

        These are the number of resets, and the running statistics of normalising wrappers in each copy.
        """
        statistics = {str(i): statistics_of(each) for i, each in enumerate(self._world.copies)}
        return {"num_resets": self.num_resets, "statistics": statistics}

    def check(self, state: Any) -> Any:
        """The problem with a state, or None."""
        copies = {str(i): check_of_statistics(each) for i, each in enumerate(self._world.copies)}
        return fields({"num_resets": number(0, whole=True), "statistics": fields(copies)})(state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state` returned."""
        self.num_resets = state["num_resets"]
        for i, each in enumerate(self._world.copies):
            restore_statistics(each, state["statistics"][str(i)])

    def close(self) -> None:
        """Close the environments that this model made; those passed in stay open."""
        self._world.close()

    def __repr__(self) -> str:
        """The environment and the parameters of the model."""
        return (
            f"SimulatorModel({self._world.name}, temperature {self.temperature:g}, horizon {self.horizon}, "
            f"{self.num_envs} episodes side by side, discount {self.discount:g})"
        )

    def _checked_prior(self) -> Chooser:
        return action_prior_of(self._given_prior, self.actions, self.observations, self.device, self.dtype)

    def _weight(self, t: int) -> float:
        return max(self.discount**t, _LEAST_WEIGHT) / self.num_envs

    def _unknown(self, width: int, draw: Callable[[], Tensor]) -> Any:
        return Unknown(torch.Size((self.num_envs,)), torch.Size((width,)), draw)

    def _reset(self) -> Float[Tensor, "batch feature"]:
        seeds = np.random.SeedSequence([self.seed, self.num_resets]).generate_state(self.num_envs) >> 1
        self.num_resets, self._clock = self.num_resets + 1, 0
        self.returns, self.lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        return self._features(self._world.reset([int(each) for each in seeds]))

    def _step(
        self, t: int, action: Num[Tensor, "batch ..."], alive: Bool[Tensor, " batch"]
    ) -> Float[Tensor, "batch outcome"]:
        if t != self._clock:
            raise InvalidGuide(
                f"`outcome_{t}` must be drawn at the current step, but the episode is at step {max(self._clock, 0)}: "
                "it runs forward only. Draw all states and outcomes in one run, or replay all of them."
            )
        if not bool(action[alive].isfinite().all()):
            raise InvalidGuide(
                f"`action_{t}` must be finite, but holds nan or an infinity: the policy has diverged. Lower the "
                "learning rate, or clip its gradients."
            )
        if not self.actions.is_discrete and bool((action[alive].abs() > 1).any()):
            raise InvalidGuide(
                f"`action_{t}` must be in [−1, 1]^{self.actions.size}, which is mapped onto the action space, but has "
                f"a coordinate of {action[alive].flatten()[action[alive].abs().argmax()]:.3g}. Squash it, as "
                "SquashedGaussianPolicy does, or take a distribution on [−1, 1], such as a scaled Beta."
            )
        on = alive.cpu().numpy()
        observation, reward, terminated, truncated = self._world.step(self.actions.to_environment(action), on)
        self._clock += 1
        reward = np.where(on, reward, 0.0)
        self.returns, self.lengths = self.returns + reward, self.lengths + on
        facts = torch.from_numpy(np.stack((reward, terminated & on, truncated & on), -1))
        made = torch.cat((self._features(observation), facts.to(self.device, self.dtype)), -1)
        alive_still = [each for each in self._made.get(t, []) if each() is not None]
        self._made[t] = [*alive_still, weakref.ref(made)]
        return made

    def _features(self, observation: Any) -> Float[Tensor, "batch feature"]:
        return self.observations(observation).to(self.device, self.dtype)

    def _require_made(self, t: int, outcome: Tensor) -> None:
        """Refuse outcomes that the environment did not produce: the density of other dynamics would not cancel."""
        for each in reversed(self._made.get(t, [])):
            made = each()
            if made is not None and (made is outcome or torch.equal(made, outcome)):
                return
        raise InvalidGuide(f"`outcome_{t}` must come from stepping the environment, but did not. {self.why_clamped()}")


class Outcome(NamedTuple):
    """The parts of the value of `outcome_t`."""

    next_observation: Float[Tensor, "*batch feature"]
    reward: Float[Tensor, "*batch"]
    terminated: Bool[Tensor, "*batch"]
    truncated: Bool[Tensor, "*batch"]


def unpacked(outcome: Float[Tensor, "*batch column"]) -> Outcome:
    """The parts of the value of `outcome_t`."""
    return Outcome(outcome[..., :-3], outcome[..., -3], outcome[..., -2] > 0, outcome[..., -1] > 0)
