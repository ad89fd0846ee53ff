"""An animation of an episode, for environments that can render images."""

import io
from pathlib import Path

import gymnasium

from ..errors import InvalidArgument, MissingExtra
from ..learners.learner import Learner
from ..runtime.files import write_whole
from ..runtime.randomness import seeded

_MOST = 1000  # frames
_USUAL = 25.0  # frames per second, if the environment has no rate of its own


def require_images(env: str) -> None:
    """Require that an episode can be filmed, by drawing its first frame.

    Raises:
        InvalidArgument: if the environment does not render images.
        MissingExtra: without Pillow, which comes with matplotlib, or without the package that draws the environment.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as problem:
        raise MissingExtra("A film needs Pillow, which is missing: pip install matplotlib") from problem
    if "rgb_array" not in gymnasium.make(env).metadata.get("render_modes", ()):
        raise InvalidArgument(f"`gif` is for environments that render images, but {env} does not. Leave it out.")
    drawn = gymnasium.make(env, render_mode="rgb_array")
    try:
        drawn.reset(seed=0)
        drawn.render()
    except gymnasium.error.DependencyNotInstalled as problem:
        raise MissingExtra(f"A film of {env} needs a package that is missing: {problem}") from problem
    finally:
        drawn.close()


def film(learner: Learner, env: str, seed: int, deterministic: bool, path: str | Path) -> int:
    """Write an episode, or the beginning of a long one, as an animated GIF.

    Args:
        learner: the learner whose policy acts.
        env: the id of an environment with `render_mode="rgb_array"`.
        seed: the seed of the episode.
        deterministic: as in `Learner.predict`.
        path: the file to write.

    Returns:
        The number of steps.

    Raises:
        InvalidArgument, MissingExtra: as `require_images`.
    """
    require_images(env)
    from PIL import Image

    drawn = gymnasium.make(env, render_mode="rgb_array")
    with seeded(seed, learner.device):
        observation, _ = drawn.reset(seed=seed)
        frames, over = [Image.fromarray(drawn.render())], False  # pyright: ignore[reportArgumentType]
        while not over and len(frames) < _MOST:
            action, _ = learner.predict(observation, deterministic=deterministic)
            observation, _, terminated, truncated, _ = drawn.step(action)
            over = terminated or truncated
            frames.append(Image.fromarray(drawn.render()))  # pyright: ignore[reportArgumentType]
    speed = drawn.metadata.get("render_fps") or _USUAL
    drawn.close()
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 / speed), loop=0)
    write_whole(path, buffer.getvalue())
    return len(frames) - 1
