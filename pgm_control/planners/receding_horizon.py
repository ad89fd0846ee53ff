"""A receding horizon: a guide that is solved or fitted anew at each step, for the model that is left."""

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ..environments.continuous.player import HasPlayedModel, HasStepPolicy
from ..environments.continuous.times import times_of_episodes
from ..errors import InvalidArgument
from ..models.line import LineModel
from ..runtime.arguments import flag, shown, whole_or_none
from ..runtime.programs import require_callable
from ..runtime.randomness import integer_of, seeded
from ..trajectories.blocks import Blocks, HasBlocks
from ..trajectories.gaussian.blocks import GaussianBlocks, HasGaussianBlocks
from ..trajectories.gaussian.distributions import gaussian
from .remaining import remaining, require_step_left
from .worlds.by_kind import world_of
from .worlds.simulator import Simulator

Refit = Callable[[Any, Any], Any]


@final
class RecedingHorizon:
    r"""Any guide as a planner: it is solved or fitted anew at each step, and its first action is played.

    At step t in state s it makes the model that is left, which starts at s and has the next H steps, hands it to your
    function, and plays the first action of the guide that this returns. So every guide of the library is a planner,
    free, clamped or between, as it is: `infer` for exact plans that see the state, `OpenLoopGaussianGuide` for plans
    that do not, a guide with networks that goes on from the parameters of the step before.

        >>> from pgm_control import LinearQuadratic, LinearQuadraticModel, infer
        >>> from pgm_control.planners import RecedingHorizon
        >>> problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0)
        >>> planner = RecedingHorizon(LinearQuadraticModel(problem), lambda left, before: infer(left, 0.0))
        >>> round(float(planner.act([1.0])), 6)
        -1.149526

    Attributes:
        model: the model.
        guide: the function.
        horizon: H, the most steps of a model that is left.
        latest: the last guide, or None.
    """

    def __init__(
        self,
        model: Any,
        guide: Refit,
        *,
        horizon: int | None = None,
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Define the planner.

        Args:
            model: a `LinearQuadraticModel` of one problem, a `PlanarModel`, a `LineModel`, a `ContinuousModel`, or a
                `TabularModel`.
            guide: a function of the model that is left, and of the guide of the step before (None at the first), that
                returns a posterior or a fitted guide. It may copy the parameters of the step before:
                `lambda left, before: infer(left, 0.0)`, or a function that makes a guide, calls `fit` and returns it.
            horizon: H; default: all steps that are left. A shorter one ignores what follows.
            seed: an integer, a generator, or None for torch's global generator, of which one number is drawn. It seeds
                what your function draws, and the actions.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
        """
        if isinstance(model, Simulator):
            raise InvalidArgument(
                "`model` must be a model for RecedingHorizon, whose guides need its densities, but is a Simulator. "
                "Take MPPI, CEM or SMCPlanner, or write the dynamics as a ContinuousModel."
            )
        self.model, self.world = model, world_of(model)
        if isinstance(guide, type):
            raise InvalidArgument(
                f"`guide` must be a function of the model that is left and of the last guide, but is {shown(guide)}. "
                "Write one that makes the guide and fits it: def refit(left, before): …; return guide."
            )
        require_callable("guide", guide, "left", "before")
        self.guide = guide
        longest = whole_or_none("horizon", horizon)
        self.horizon = self.world.horizon if longest is None else min(longest, self.world.horizon)
        self._random = torch.Generator().manual_seed(integer_of(seed))
        self.latest: Any = None
        self._before: Any = None
        self._time = 0

    def act(self, state: Any, deterministic: bool = True) -> Tensor:
        """The action in a state; the next call is the next step.

        Args:
            state: one state: a vector, or an index for a table.
            deterministic: the mean of the policy, for a table its most probable action; otherwise a draw.

        Raises:
            InvalidArgument: if the state does not fit, the episode is over, or the function returns no guide.
        """
        deterministic = flag("deterministic", deterministic)
        states, single = self.world.states(state)
        if not single and len(states) > 1:
            raise InvalidArgument(
                f"`state` must be one state, since a guide is fitted to each, but there are {len(states)}. Take a "
                "planner for each episode."
            )
        require_step_left(self._time, self.world.horizon)
        action = self._first(states[0], self._time, self._before, deterministic)
        self._before, self._time = self.latest, self._time + 1
        return action if single else action[None]

    def reset(self) -> None:
        """Begin a new episode: forget the guide and the time, but not the random numbers."""
        self.latest, self._before, self._time = None, None, 0

    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...]]:
        """The actions for an observation or a batch, one after the other, in the form of Stable-Baselines3.

        Args:
            observation: the state, or a batch; what follows the state, such as the time, is not read.
            state: the time steps of the last call, or None. Only with one environment does a guide go on from the last.
            episode_start: where an episode begins, by environment.
            deterministic: as in `act`.

        Raises:
            InvalidArgument: as in `act`.
        """
        deterministic = flag("deterministic", deterministic)
        seen, single = self.world.observed(observation)
        time = times_of_episodes(len(seen), state, episode_start, self.world.horizon)
        goes_on = len(seen) == 1 and time[0] > 0
        actions = [
            self._first(each, int(t), self.latest if goes_on else None, deterministic)
            for each, t in zip(seen, time, strict=True)
        ]
        found = torch.stack(actions).numpy()
        return (found[0] if single else found), (time + 1,)

    def _first(self, state: Tensor, t: int, before: Any, deterministic: bool) -> Tensor:
        """The first action of the guide for the model that is left."""
        steps = min(self.horizon, self.world.horizon - t)
        with seeded(self._random):
            self.latest = self.guide(remaining(self.model, t, state, steps), before)
            with torch.no_grad():
                return _action_of(self.latest, state, deterministic, isinstance(self.model, LineModel))

    def __repr__(self) -> str:
        """The model and the horizon."""
        return f"RecedingHorizon({self.model!r}, horizon {self.horizon})"


def _action_of(guide: Any, state: Tensor, deterministic: bool, on_line: bool) -> Tensor:
    """The action of a guide in its first step.

    Raises:
        InvalidArgument: if it has no policy, or the best action is asked for and not known.
    """
    is_object = not isinstance(guide, type)
    blocks = guide.blocks() if is_object and isinstance(guide, HasBlocks | HasGaussianBlocks) else guide
    if isinstance(blocks, GaussianBlocks):
        gain, offset = blocks.gain[0], blocks.offset[0]
        mean = -gain @ state - offset
        return mean if deterministic else gaussian(mean, blocks.policy_covariance[0]).sample()
    if isinstance(blocks, Blocks):
        row = blocks.log_policy[0][state].exp()
        return row.argmax() if deterministic else torch.multinomial(row, 1)[0]
    if is_object and isinstance(guide, HasStepPolicy | HasPlayedModel):
        law = guide.policy(0, state if on_line else state[None])  # on the line states and actions are numbers
        if not deterministic:
            return law.sample().double().reshape(-1)
        try:
            return law.mean.double().reshape(-1)
        except (NotImplementedError, AttributeError):
            raise InvalidArgument("`deterministic` must be False for this policy, whose mean is not known.") from None
    raise InvalidArgument(
        "`guide` must return a posterior or a guide with a policy for the model that is left, such as "
        f"infer(left, 0.0), but returns {shown(guide)}."
    )
