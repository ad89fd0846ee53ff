"""An animation of an episode, for environments that can render images."""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import torch

from ..environments.checked import Checked
from ..environments.rollout import Predictor
from ..errors import InvalidArgument, MissingExtra
from ..learners.action_masks import ActionMasks
from ..learners.learner import Learner
from ..problems.gymnasium_envs import made
from ..runtime.files import write_whole
from ..runtime.randomness import seeded
from .planning.episodes import fitting

_MOST = 1000  # frames
_USUAL = 25.0  # frames per second, if the environment has no rate of its own


def film(
    policy: Predictor,
    env: str,
    seed: int,
    deterministic: bool,
    path: str | Path,
    device: str | torch.device = "cpu",
    make: Callable[..., gymnasium.Env] | None = None,
) -> int:
    """Write an episode, or the beginning of a long one, as an animated GIF.

    Args:
        policy: a learner or a planner, which acts.
        env: the id of an environment with `render_mode="rgb_array"`, or its name.
        seed: the seed of the episode.
        deterministic: as in `predict`.
        path: the file to write.
        device: where the policy draws its random numbers.
        make: makes the environment; default: Gymnasium.

    Returns:
        The number of steps.

    Raises:
        InvalidArgument: if the environment does not render images.
        MissingExtra: without Pillow, or without the package with which the environment draws.
    """
    try:
        from PIL import Image
    except ImportError as problem:
        raise MissingExtra("A film needs Pillow, which is missing: pip install pillow") from problem
    make = functools.partial(made, env) if make is None else make
    if "rgb_array" not in make().metadata.get("render_modes", ()):
        raise InvalidArgument(f"`gif` is for environments that render images, but {env} does not. Leave it out.")
    drawn = Checked(make(render_mode="rgb_array"))
    with seeded(seed, device):
        observation, memory = drawn.reset(seed=seed)[0], None
        frames, over = [Image.fromarray(_drawing(drawn, env))], False
        while not over and len(frames) < _MOST:
            action, memory = policy.predict(observation, memory, deterministic=deterministic)
            observation, _, terminated, truncated, _ = drawn.step(fitting(action, drawn.action_space))
            over = terminated or truncated
            frames.append(Image.fromarray(_drawing(drawn, env)))
    speed = drawn.metadata.get("render_fps") or _USUAL
    drawn.close()
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 / speed), loop=0)
    write_whole(path, buffer.getvalue())
    return len(frames) - 1


def observed_by(learner: Learner, env: str) -> Callable[..., gymnasium.Env]:
    """The environment of an id as the learner observes it, with its action masks if it keeps to these."""

    def make(**options: Any) -> gymnasium.Env:
        found = made(env, **options)
        return ActionMasks(found) if learner.config.get("action_masks", False) else found

    return make


def _drawing(drawn: gymnasium.Env, env: str) -> Any:
    """The picture of the present state."""
    try:
        return drawn.render()
    except ImportError as problem:
        raise _missing(env, problem) from problem
    except gymnasium.error.DependencyNotInstalled as problem:
        raise _missing(env, problem.__cause__ or problem) from problem


def _missing(env: str, problem: BaseException) -> MissingExtra:
    """The error about a package that drawing needs, with the command that installs it."""
    package = getattr(problem, "name", None)
    remedy = f"{package}, which is missing: pip install {package}" if package else f"what is missing: {problem}"
    return MissingExtra(f"A film of {env} needs {remedy}")
