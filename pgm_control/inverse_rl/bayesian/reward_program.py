"""The prior over rewards, optimism and temperature, with the likelihood of demonstrations, as a Pyro program."""

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import biject_to

from ...chance.risk import beta_of
from ...errors import InvalidArgument
from ...runtime.arguments import positive
from ...text.one_line import one_line
from ...trajectories.blocks import MarkovModel, require_model
from ..demonstrations import Demonstrations
from ..demonstrators import ClampedDemonstrator, Demonstrator, DialDemonstrator, FreeDemonstrator
from ..inverse import chosen_demonstrator, chosen_reward, require_demonstrations
from ..objective import RewardFunction

_EXAMPLES = {"optimism": "Normal(0.0, 0.5)", "temperature": "LogNormal(0.0, 1.0)"}


@final
@dataclass(frozen=True, eq=False)
class RewardProgram:
    r"""A Pyro program that draws ψ, and β and τ if they are unknown, with the likelihood as a factor.

    $$\psi_i \sim \mathcal N(0, \sigma^2), \qquad \beta \sim p(\beta), \qquad \tau \sim p(\tau), \qquad
    \text{factor } \log p(\text{demonstrations} \mid \psi, \beta, \tau)$$

    Sites: `psi`, `optimism` and `temperature`, each only if it is unknown, and the factor `demonstrations`.

    Attributes:
        model: the problem; its temperature is used if none is drawn.
        demonstrations: the demonstrations.
        function: the reward as a function of ψ.
        demonstrator: the model of the demonstrator; a `DialDemonstrator` if β is drawn.
        prior: σ, in reward units.
        optimism: distribution of β, or None for the β of the demonstrator.
        temperature: distribution of τ, in reward units per nat, or None for the temperature of the model.
    """

    model: MarkovModel
    demonstrations: Demonstrations
    function: RewardFunction
    demonstrator: Demonstrator
    prior: float
    optimism: Any = None
    temperature: Any = None

    __repr__ = one_line

    @property
    def priors(self) -> dict[str, Any]:
        """The distribution of each site, in the dtype of the model."""
        start = self.function.start
        found: dict[str, Any] = {}
        if len(start):
            found["psi"] = dist.Normal(torch.zeros_like(start), torch.full_like(start, self.prior)).to_event(1)
        for name, each in (("optimism", self.optimism), ("temperature", self.temperature)):
            if each is not None:
                found[name] = _brought_to(each, start)
        return found

    @property
    def start(self) -> dict[str, Tensor]:
        """The start of a search: ψ of the reward, β of the demonstrator and τ of the model.

        A value outside the support of its prior is replaced by one inside.
        """
        found = {"psi": self.function.start}
        for name, each in self.priors.items():
            if name != "psi":
                tau = self.model.temperature
                own = beta_of(self.demonstrator.optimism, tau) if name == "optimism" else tau  # pyright: ignore[reportAttributeAccessIssue]  a dial
                value = torch.as_tensor(own).detach().to(self.function.start)
                inside = bool(each.support.check(value))
                found[name] = value if inside else biject_to(each.support)(torch.zeros_like(value))
        return found

    def __call__(self) -> None:
        """Draw the unknowns and add the factor of the demonstrations."""
        drawn = {name: pyro.sample(name, each) for name, each in self.priors.items()}
        pyro.factor("demonstrations", self.log_likelihood(drawn))

    def log_likelihood(self, drawn: dict[str, Tensor]) -> Float[Tensor, "*draw"]:
        """Return the log-likelihood of actions and outcomes, given the first states, in nats.

        It is comparable between demonstrators.
        """
        demonstrator = self.demonstrator
        if "optimism" in drawn:
            demonstrator = replace(demonstrator, optimism=drawn["optimism"])  # pyright: ignore[reportArgumentType]  a dial
        reward, last = self.function(drawn.get("psi", self.function.start))
        tau = drawn.get("temperature", self.model.temperature)
        return demonstrator.log_likelihood(self.model, self.demonstrations, reward, last, tau) + self._world

    @cached_property
    def _world(self) -> Tensor:
        """The true log-probability of the outcomes, if the demonstrator's likelihood omits it; otherwise 0."""
        mdp, demonstrator, moves = self.model.mdp, self.demonstrator, self.demonstrations.moves
        seen = moves.successor >= 0
        if isinstance(demonstrator, FreeDemonstrator) or (
            isinstance(demonstrator, DialDemonstrator) and demonstrator.dynamics == "believed"
        ):
            return mdp.initial.new_zeros(())
        s, a, to = (each[seen] for each in moves[1:4])
        lands = (mdp.probability[s, a] * (mdp.successor[s, a] == to[:, None])).sum(-1)
        return (moves.weight[seen] * lands.log()).sum()


def program_of(
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Any,
    demonstrator: Demonstrator | str,
    prior: Any,
    optimism: Any,
    temperature: Any,
) -> RewardProgram:
    """Return the program for the arguments of `reward_posterior`.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    require_model(model, in_nats=True)
    function = RewardFunction(chosen_reward(model, reward), model.mdp)
    actor = chosen_demonstrator(demonstrator)
    require_demonstrations(model, demonstrations)
    if isinstance(actor, ClampedDemonstrator) and actor.criterion == "matching":
        raise InvalidArgument(
            "`demonstrator` must have a likelihood, but matching only has its mean. Use ClampedDemonstrator()."
        )
    prior = positive("prior", prior, "standard deviation")
    for name, each in (("optimism", optimism), ("temperature", temperature)):
        if each is not None and not (
            isinstance(each, TorchDistributionMixin) and each.shape() == () and each.support.is_discrete is False
        ):
            raise InvalidArgument(
                f"`{name}` must be a distribution of Pyro over one real number, such as pyro.distributions."
                f"{_EXAMPLES[name]}, or None if it is known, but is {each!r}."
            )
    if optimism is not None and not isinstance(actor, DialDemonstrator):
        raise InvalidArgument(
            f"`demonstrator` must have a β for an unknown optimism, but is {actor!r}. Use DialDemonstrator(0.0), or "
            'DialDemonstrator(0.0, "believed") if the outcomes follow the dynamics that it believes.'
        )
    if temperature is not None and bool(temperature.support.check(temperature.mean.new_tensor(-1.0))):
        raise InvalidArgument(
            f"`temperature` must be a distribution over positive numbers, but is {temperature!r}. Use "
            "pyro.distributions.LogNormal(0.0, 1.0)."
        )
    if not (len(function.start) or optimism is not None or temperature is not None):
        raise InvalidArgument(
            "`reward` must have parameters that can be learned, or `optimism` or `temperature` be unknown: nothing is."
        )
    return RewardProgram(model, demonstrations, function, actor, prior, optimism, temperature)


def _brought_to(distribution: Any, like: Tensor) -> Any:
    """Return the distribution with its parameters in another dtype."""
    found = copy.copy(distribution)
    for name, each in vars(distribution).items():
        if isinstance(each, Tensor) and each.is_floating_point():
            setattr(found, name, each.to(like))
        elif isinstance(each, dist.Distribution):
            setattr(found, name, _brought_to(each, like))
    return found
