r"""Skills in a simulator: an environment that pays for states from which the skill can be guessed.

Sources:
    [eysenbach2018] B. Eysenbach et al., Diversity is all you need: learning skills without a reward function. 2018.
        arXiv:1802.06070
    [gregor2016] K. Gregor, D. J. Rezende and D. Wierstra, Variational intrinsic control. 2016. arXiv:1611.07507
"""

import math
from typing import Any, Literal, final, get_args

import gymnasium
import numpy as np
from gymnasium import spaces

from ..environments.checked import require_environment
from ..errors import InvalidArgument
from ..runtime.arguments import flag, index, instance, one_of, positive
from .discriminator import SkillDiscriminator

When = Literal["last", "every"]


@final
class SkillEnv(gymnasium.Wrapper):
    r"""An environment in which a skill is drawn for each episode, and pays for being recognised.

    A skill z is drawn at `reset`, each with probability 1/N, and joins the observation. The reward of a state is

    $$c\, \big(\log q(z \mid s') + \log N\big)$$

    with `when="every"` after each step [eysenbach2018], with "last" when the episode ends [gregor2016]. q is the
    `SkillDiscriminator`, fitted to the states that pay, as they are visited. Any learner can learn in it, ours and
    those of Stable-Baselines3. With β = 0 it is clamped. `skills` is the exact counterpart, for tables.

    Rewards are computed when a state is visited. A learner with a long memory learns from rewards of earlier
    discriminators; a `capacity` of some ten thousand keeps them recent. With `when="last"` the observation should hold
    the time, so that the end of an episode is part of the problem and not a truncation. A joint optimum of policy and
    discriminator may be a local one, of which the seed decides.

    Observations of a `Discrete` space become `Discrete`, as z · n + s; all others become a `Box`: the features, then
    the skill as one-hot numbers. `info["skill"]` holds the skill, and `reset(options={"skill": z})` chooses it.

    Attributes:
        discriminator: q.
        skill: z, of the present episode; None before the first reset.

    References:
        [gregor2016], [eysenbach2018]

    Examples:
        >>> import gymnasium
        >>> from pgm_control import SkillDiscriminator, SkillEnv
        >>> lake = gymnasium.make("FrozenLake-v1")
        >>> guess = SkillDiscriminator(lake.observation_space, num_skills=4, seed=0)
        >>> env = SkillEnv(lake, guess)
        >>> env.observation_space
        Discrete(64)
        >>> env.reset(seed=0, options={"skill": 2})[0]
        np.int64(32)
    """

    def __init__(
        self,
        env: gymnasium.Env,
        discriminator: SkillDiscriminator,
        *,
        when: When = "every",
        scale: float = 1.0,
        adds_reward: bool = False,
    ) -> None:
        """Wrap an environment.

        Args:
            env: the environment, with its time limit inside.
            discriminator: q, of its observation space; copies of an environment share one.
            when: "every" or "last", which states pay.
            scale: c, in reward units per nat.
            adds_reward: whether the rewards of the environment count too.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        require_environment(env)
        remedy = "Make one: SkillDiscriminator(env.observation_space, num_skills)."
        instance("discriminator", discriminator, SkillDiscriminator, remedy)
        if discriminator.space != env.observation_space:
            raise InvalidArgument(
                f"`discriminator` must be of the observation space of `env`, {env.observation_space}, but is of "
                f"{discriminator.space}. Make it with env.observation_space."
            )
        super().__init__(env)
        one_of("when", when, get_args(When))  # pyright: ignore[reportArgumentType]
        self.discriminator, self.skill, self._when = discriminator, None, when
        self._scale, self._adds = positive("scale", scale), flag("adds_reward", adds_reward)
        self.observation_space = _with_skill(env.observation_space, discriminator.num_skills)

    def __repr__(self) -> str:
        """The environment, the number of skills, and which states pay."""
        return f"SkillEnv({self.env}, {self.discriminator.num_skills} skills, when={self._when!r})"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and draw its skill, or take it from `options["skill"]`.

        Raises:
            InvalidArgument: if there is no such skill.
        """
        given = dict(options or {})
        wanted = given.pop("skill", None)
        observation, info = self.env.reset(seed=seed, options=given or None)
        count = self.discriminator.num_skills
        if wanted is None:
            self.skill = int(self.np_random.integers(count))
        else:
            self.skill = index('options["skill"]', wanted, count, "skills")
        return self._seen(observation), {**info, "skill": self.skill}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make a step; the reward is that of the class, and the environment's own is in `info["reward"]`."""
        observation, own, terminated, truncated, info = self.env.step(action)
        assert self.skill is not None
        paid = float(own) if self._adds else 0.0
        if self._when == "every" or terminated or truncated:
            guessed = self.discriminator.log_probabilities([observation])[0, self.skill]
            paid += self._scale * (float(guessed) + math.log(self.discriminator.num_skills))
            self.discriminator.saw(observation, self.skill)
        return self._seen(observation), paid, terminated, truncated, {**info, "skill": self.skill, "reward": own}

    def _seen(self, observation: Any) -> Any:
        """The observation with the skill."""
        inner, skill = self.env.observation_space, self.skill
        assert skill is not None
        if isinstance(inner, spaces.Discrete):
            return np.int64(skill * inner.n + int(observation) - inner.start)
        chosen = np.eye(self.discriminator.num_skills, dtype=np.float32)[skill]
        return np.concatenate([np.asarray(spaces.flatten(inner, observation), np.float32).reshape(-1), chosen])


def _with_skill(inner: gymnasium.Space, count: int) -> gymnasium.Space:
    """The space of observations with a skill."""
    if isinstance(inner, spaces.Discrete):
        return spaces.Discrete(int(inner.n) * count)
    flat = spaces.flatten_space(inner)
    assert isinstance(flat, spaces.Box)  # `Observations` refuses all others
    low, high = (np.concatenate([np.asarray(bound, np.float32), edge * np.ones(count, np.float32)])
                 for bound, edge in ((flat.low, 0.0), (flat.high, 1.0)))  # fmt: skip
    return spaces.Box(low, high, dtype=np.float32)
