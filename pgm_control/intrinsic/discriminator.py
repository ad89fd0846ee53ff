r"""A learned classifier of skills, $q(z \mid s)$, fitted to the states that are visited.

Sources:
    [eysenbach2018] B. Eysenbach et al., Diversity is all you need: learning skills without a reward function. 2018.
        arXiv:1802.06070
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import gymnasium
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..environments.spaces import Observations
from ..networks.mlp import Network, widths
from ..runtime.arguments import index, positive, whole
from ..runtime.checkpoint import read, require_same, write
from ..runtime.checkpoint_checks import alike, anything, every, fields, number, require, text
from ..runtime.randomness import integer_of, seeded

_KIND = "SkillDiscriminator"
_REMEDY = "Load an intact copy, or fit a new discriminator."


@final
class SkillDiscriminator:
    r"""A network $q(z \mid s)$ that guesses the skill from a state, fitted to the latest visits.

    It maximises $E \log q(z \mid s)$ over the states that were seen and the skills that visited them. At its optimum it
    is Bayes' rule, and $E \log q(z \mid s) + \log N$ is the information $I(z; s)$ of the visits; before, it is a lower
    bound of it, in the mean over new visits [eysenbach2018]. Several copies of an environment share one discriminator.

    Attributes:
        num_skills: N.
        space: the space of what it sees.
        num_seen: the number of visits so far.

    References:
        [eysenbach2018]

    Examples:
        >>> from gymnasium.spaces import Discrete
        >>> from pgm_control import SkillDiscriminator
        >>> guess = SkillDiscriminator(Discrete(3), num_skills=2, hidden=(), seed=0)
        >>> guess.log_probabilities([0, 1]).exp()
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]])
    """

    def __init__(
        self,
        space: gymnasium.Space,
        num_skills: int,
        *,
        hidden: Sequence[int] = (64, 64),
        learning_rate: float = 3e-3,
        batch_size: int = 256,
        fit_every: int = 8,
        capacity: int = 10_000,
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Make the network.

        Args:
            space: the space of the states: the observation space of the environment.
            num_skills: N, at least 2.
            hidden: the number of units of each hidden layer; () is a table on one-hot features.
            learning_rate: that of Adam.
            batch_size: the number of visits in a step of Adam, drawn from the latest `capacity`.
            fit_every: the number of visits between steps of Adam.
            capacity: the number of visits that are kept. Few follow a policy that changes, many have less noise.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
            UnsupportedEnvironment: if there is no network for such a space.
        """
        self.num_skills, self.space = whole("num_skills", num_skills, 2), space
        self._observations, number_of_seed = Observations(space), integer_of(seed)
        self._settings = {
            "num_skills": self.num_skills,
            "hidden": list(widths(hidden)),
            "learning_rate": positive("learning_rate", learning_rate),
            "batch_size": whole("batch_size", batch_size),
            "fit_every": whole("fit_every", fit_every),
            "capacity": whole("capacity", capacity),
        }
        with seeded(number_of_seed):
            self._network = Network(self._observations.features, self.num_skills, hidden)
        self._optimiser = torch.optim.Adam(self._network.parameters(), self._settings["learning_rate"])
        self._random = torch.Generator().manual_seed(number_of_seed)
        size = self._settings["capacity"]
        self._states, self._skills = torch.zeros((size, self._observations.features)), torch.zeros(size).long()
        self.num_seen = 0

    def __repr__(self) -> str:
        """The number of skills and of visits."""
        return f"SkillDiscriminator({self.num_skills} skills, {self.space}, {self.num_seen} visits)"

    def log_probabilities(self, states: Sequence[Any]) -> Float[Tensor, "batch skill"]:
        r"""$\log q(z \mid s)$, in nats.

        Args:
            states: a sequence of states, each in `space`.
        """
        with torch.no_grad():
            return self._network(self._observations(states))[0].log_softmax(-1)

    def saw(self, state: Any, skill: int) -> None:
        """Keep a visit, and after every `fit_every` visits make a step of Adam.

        Args:
            state: the state, in `space`.
            skill: the skill that visited it, 0 … N − 1.

        Raises:
            InvalidArgument: if there is no such skill.
        """
        skill = index("skill", skill, self.num_skills, "skills")
        at = self.num_seen % len(self._skills)
        self._states[at], self._skills[at] = self._observations([state])[0], skill
        self.num_seen += 1
        if self.num_seen % self._settings["fit_every"] == 0 and self.num_seen >= self._settings["batch_size"]:
            self._step(min(self.num_seen, len(self._skills)))

    def information(self) -> float:
        r"""$E \log q(z \mid s) + \log N$ over the visits that are kept, in nats; nan before the first visit.

        The network was fitted to these visits, so that this is too high by what it has learned by heart.
        """
        kept = min(self.num_seen, len(self._skills))
        with torch.no_grad():
            found = self._losses(torch.arange(kept))
        return math.log(self.num_skills) - float(found.mean())

    def save(self, path: str | Path) -> None:
        """Write everything that the next step depends on, as tensors and JSON. The file is written atomically."""
        write(
            path, _KIND, self._tensors(), {"settings": self._settings, "space": str(self.space), "seen": self.num_seen}
        )

    @classmethod
    def load(cls, path: str | Path, space: gymnasium.Space) -> "SkillDiscriminator":
        """Load a discriminator that `save` wrote; it continues as if it had never stopped.

        Args:
            path: the path of the file.
            space: the space of what it sees.

        Raises:
            InvalidCheckpoint: if the file cannot be read, or was written for another space.
        """
        sizes = dict.fromkeys(("num_skills", "batch_size", "fit_every", "capacity"), number(1, whole=True))
        settings = fields({**sizes, "hidden": every(number(1, whole=True)), "learning_rate": number(0)})
        facts_check = fields({"settings": settings, "space": text, "seen": number(0, whole=True)})
        names = ("network", "optimiser", "random", "states", "skills")
        tensors, facts = read(path, _KIND, fields(dict.fromkeys(names, anything)), facts_check, _REMEDY)
        require_same(path, {"space": facts["space"]}, {"space": str(space)}, "Pass the space that it was made for.")
        made = cls(space, seed=0, **facts["settings"])
        own = made._tensors()
        checks = {name: anything if name == "optimiser" else alike(own[name]) for name in names}
        require(path, "this discriminator", tensors, fields(checks), _REMEDY)
        made._network.load_state_dict(tensors["network"])
        made._optimiser.load_state_dict(tensors["optimiser"])
        made._random.set_state(tensors["random"])
        made._states, made._skills, made.num_seen = tensors["states"], tensors["skills"], facts["seen"]
        return made

    def _step(self, kept: int) -> None:
        """A step of Adam on a batch of the visits that are kept."""
        rows = torch.randint(kept, (self._settings["batch_size"],), generator=self._random)
        with torch.enable_grad():  # environments are stepped without gradients
            self._optimiser.zero_grad()
            self._losses(rows).mean().backward()
        self._optimiser.step()

    def _losses(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        r"""$-\log q(z \mid s)$ of visits, in nats."""
        guessed = self._network(self._states[rows])[0].log_softmax(-1)
        return -guessed.gather(-1, self._skills[rows, None])[:, 0]

    def _tensors(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "random": self._random.get_state(),
            "states": self._states,
            "skills": self._skills,
        }
