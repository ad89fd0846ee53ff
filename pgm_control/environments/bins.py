"""Coordinates of the state of an environment: reading them from an observation, and setting them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float

from ..errors import InvalidArgument, UnsupportedEnvironment
from ..runtime.arguments import called, flag, listed, ordered
from ..runtime.programs import require_callable
from ..text.one_line import one_line
from .checked import Checked


@final
@dataclass(frozen=True)
class Chart:
    """What `discretise` needs to know about an environment. CartPole, MountainCar and Pendulum have a built-in chart.

    For another environment, define how to read and to set its state:

        chart = Chart(
            names=("height", "speed"),
            low=(0.0, -5.0),
            high=(10.0, 5.0),
            set_state=lambda env, point: env.put_ball(*point),
        )
        discretise(env, bins=(20, 20), chart=chart)

    Attributes:
        names: the names of the coordinates.
        low, high: the bounds of the box that is divided into cells, in the units of the coordinates.
        periodic: for each coordinate, whether `low` and `high` are the same point, such as −π and π of an angle;
            default: none is periodic.
        coordinates: a function from a batch of observations to a batch of points; default: an observation is a point.
        set_state: a function that puts the unwrapped environment (`env.unwrapped`) into the state of a point; default:
            set its attribute `state`. All other attributes are as after a reset.
        action_names: the names of the actions, or None.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    periodic: tuple[bool, ...] | None = None
    coordinates: Callable[[Float[np.ndarray, "batch feature"]], Float[np.ndarray, "batch coordinate"]] | None = None
    set_state: Callable[[Any, Float[np.ndarray, " coordinate"]], None] | None = None
    action_names: tuple[str, ...] | None = None

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the names and the bounds of the box."""
        found: dict[str, Any] = {
            "names": tuple(called("names", each) for each in listed("names", self.names, "strings"))
        }
        for name in ("low", "high"):
            found[name] = _bounds(name, getattr(self, name))
        if self.periodic is not None:
            found["periodic"] = tuple(flag("periodic", each) for each in listed("periodic", self.periodic, "flags"))
        for name, value in found.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen
        for name, takes in (("coordinates", ("observations",)), ("set_state", ("env", "point"))):
            if getattr(self, name) is not None:
                require_callable(name, getattr(self, name), *takes)
        axes = len(self.names)
        for name in ("low", "high", *(("periodic",) if self.periodic is not None else ())):
            if len(getattr(self, name)) != axes:
                raise InvalidArgument(
                    f"`{name}` must hold one entry for each of the {axes} names, but is {getattr(self, name)!r}."
                )
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            if not -math.inf < low < high < math.inf:
                raise InvalidArgument(
                    f"`low` and `high` must be finite and in this order, but are {low:g} and {high:g} for {name}. The "
                    "outermost cells are open: choose where most of the time is spent."
                )

    def points(self, observations: Any) -> Float[np.ndarray, "batch coordinate"]:
        """The points, one row each, of a batch of observations.

        Raises:
            InvalidArgument: if they are not finite, or their number of coordinates differs from the number of names.
        """
        given = np.asarray(observations, dtype=np.float64)
        flat = given.reshape(len(given), -1)
        found = flat if self.coordinates is None else np.asarray(self.coordinates(flat), dtype=np.float64)
        if found.ndim != 2 or found.shape[1] != len(self.names) or not np.isfinite(found).all():
            raise InvalidArgument(
                f"`observation` must give {len(self.names)} finite coordinates ({', '.join(self.names)}), but gave "
                f"{found[:1].tolist()}, shape {found.shape}. Use the environment that was discretised."
            )
        return found

    def place(self, env: Any, point: Float[np.ndarray, " coordinate"]) -> None:
        """Put the unwrapped environment into the state of a point."""
        if self.set_state is None:
            env.state = point.copy()
        else:
            self.set_state(env, point)


def chart_of(env: gymnasium.Env, low: Sequence[float] | None = None, high: Sequence[float] | None = None) -> Chart:
    """The built-in chart of an environment, or the chart of one whose attribute `state` is its observation.

    Args:
        env: the environment, after a reset.
        low, high: bounds of the box; default: those of the built-in chart or of the observation space.

    Raises:
        UnsupportedEnvironment: if its state cannot be set; the message names the remedy.
        InvalidArgument: if the bounds are not finite.
    """
    bare: Any = env.unwrapped
    known = _KNOWN.get(type(bare).__name__)
    found = known(bare) if known is not None else _plain(bare, low, high)
    if low is None and high is None:
        return found
    return Chart(
        found.names,
        found.low if low is None else _bounds("low", low),
        found.high if high is None else _bounds("high", high),
        found.periodic,
        found.coordinates,
        found.set_state,
        found.action_names,
    )


def _bounds(name: str, given: Any) -> tuple[float, ...]:
    return tuple(ordered(name, each) for each in listed(name, given, "numbers"))


def _plain(bare: Any, low: Sequence[float] | None, high: Sequence[float] | None) -> Chart:
    """The chart of an environment whose state is a vector that it observes."""
    name, space = type(bare).__name__, bare.observation_space
    observation, _ = Checked(bare).reset()
    state = getattr(bare, "state", None)
    try:
        seen = isinstance(space, Box) and np.allclose(np.asarray(state, np.float64), observation, rtol=1e-5, atol=1e-6)
    except (TypeError, ValueError):
        seen = False
    if not seen or len(space.shape) != 1:
        raise UnsupportedEnvironment(
            f"{name} does not observe its attribute `state` as a vector, so there is no known way to set its state. "
            "Define one with chart=Chart(names, low, high, coordinates=…, set_state=…)."
        )
    axes = space.shape[0]
    return Chart(
        tuple(f"x{i}" for i in range(axes)),
        _bounds("low", space.low if low is None else low),
        _bounds("high", space.high if high is None else high),
    )


def _cart_pole(bare: Any) -> Chart:
    """The chart of CartPole. Velocities have no limit, and rarely exceed these bounds."""
    x, angle = float(bare.x_threshold), float(bare.theta_threshold_radians)
    return Chart(
        ("position", "velocity", "angle", "angular velocity"),
        (-x, -3.0, -angle, -3.5),
        (x, 3.0, angle, 3.5),
        action_names=("push left", "push right"),
    )


def _mountain_car(bare: Any) -> Chart:
    return Chart(
        ("position", "velocity"),
        (float(bare.min_position), -float(bare.max_speed)),
        (float(bare.goal_position), float(bare.max_speed)),  # the episode ends beyond it
        action_names=None if isinstance(bare.action_space, Box) else ("push left", "coast", "push right"),
    )


def _pendulum(bare: Any) -> Chart:
    def angle_and_speed(observations: np.ndarray) -> np.ndarray:
        return np.stack((np.arctan2(observations[:, 1], observations[:, 0]), observations[:, 2]), -1)

    speed = float(bare.max_speed)
    return Chart(("angle", "angular velocity"), (-math.pi, -speed), (math.pi, speed), (True, False), angle_and_speed)


_KNOWN: dict[str, Callable[[Any], Chart]] = {
    "CartPoleEnv": _cart_pole,
    "MountainCarEnv": _mountain_car,
    "Continuous_MountainCarEnv": _mountain_car,
    "PendulumEnv": _pendulum,
}
