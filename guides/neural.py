"""The neural guide: a policy given by a network."""

import itertools
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.chance.log_tables import tilted
from pgm_control.errors import InvalidArgument
from pgm_control.networks.mlp import widths
from pgm_control.runtime.arguments import shown
from pgm_control.runtime.array_like import numbers
from pgm_control.runtime.programs import require_callable
from pgm_control.runtime.randomness import seeded
from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .markov import MarkovGuide
from .support import feasible_prior


@final
class NeuralGuide(MarkovGuide):
    r"""Learn a policy network of state features and time; keep the model's start distribution and dynamics.

    $$\pi_t(a \mid s) \propto \rho(a \mid s) \exp f_\theta(\phi(s), t/T)_a$$

    The policy is amortised: states with similar features get similar actions, and the number of parameters does not
    grow with T or S. With one-hot features and enough units it can represent `ClampedGuide`.

    Parameters: those of the network. A network needs a small learning rate: see the arguments of `fit` in the zoo.
    """

    def __init__(
        self,
        model: MarkovModel,
        features: Float[Tensor, "state feature"] | None = None,
        network: torch.nn.Module | None = None,
        hidden: Sequence[int] = (64, 64),
        seed: int | torch.Generator | None = None,
    ) -> None:
        """Initialise at the action prior, or at the policy of the given network.

        Args:
            model: the model.
            features: φ(s), one row per state (default: one-hot). Values of about size 1 suit a network.
            network: any module from (…, D + 1), the features and t/T, to (…, A), logits in nats relative to the action
                prior. It is moved to the dtype and the device of the model. Default: layers of tanh units, with a last
                layer that starts at zero.
            hidden: the number of units of each hidden layer.
            seed: an integer, a generator, or None for torch's global generator: for the weights of the default network.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        super().__init__(model)
        if network is not None and not isinstance(network, torch.nn.Module):
            raise InvalidArgument(f"`network` must be a torch.nn.Module, but is {shown(network)}.")
        if network is not None:
            require_callable("network", network, "inputs")
        mdp = model.mdp
        self._log_prior = feasible_prior(model, optimism=0.0).log_policy
        table = _checked_features(features, mdp.num_states, self._log_prior)
        time = torch.arange(mdp.horizon).to(table)[:, None, None] / mdp.horizon
        inputs = torch.cat((table.expand(mdp.horizon, *table.shape), time.expand(-1, mdp.num_states, 1)), -1)
        self.register_buffer("inputs", inputs, persistent=False)
        units = (inputs.shape[-1], *widths(hidden), mdp.num_actions)
        with seeded(seed):
            self.network = (_layers(units) if network is None else network).to(inputs)
        _check_output(self.network, inputs, mdp.num_actions)

    def blocks(self) -> Blocks:
        """The model's start distribution and dynamics, and the policy of the network."""
        policy = tilted(self.network(self.get_buffer("inputs")), self._log_prior)
        return self.model.blocks().replace(log_policy=policy)


def _layers(units: Sequence[int]) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(units):
        layers += [torch.nn.Linear(before, after), torch.nn.Tanh()]
    last = layers[-2]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    return torch.nn.Sequential(*layers[:-1])


def _checked_features(features: Tensor | None, states: int, like: Tensor) -> Float[Tensor, "state feature"]:
    if features is None:
        return torch.eye(states).to(like)
    features = numbers("features", features, InvalidArgument)
    if features.ndim != 2 or len(features) != states or not bool(features.isfinite().all()):
        raise InvalidArgument(
            f"`features` must have shape ({states}, D), one finite row per state, but has shape {tuple(features.shape)}"
            f"{'' if bool(features.isfinite().all()) else ' and entries that are nan or infinite'}. Leave it out for "
            "one-hot features."
        )
    return features.to(like)


def _check_output(network: torch.nn.Module, inputs: Tensor, actions: int) -> None:
    wanted = (*inputs.shape[:-1], actions)
    try:
        with torch.no_grad():
            shape = tuple(network(inputs).shape)
    except RuntimeError as problem:
        raise InvalidArgument(
            f"`network` must take {inputs.shape[-1]} numbers, the features and the time, but did not: {problem}. Check "
            "its first layer."
        ) from problem
    if shape != wanted:
        raise InvalidArgument(
            f"`network` must give {wanted} from {tuple(inputs.shape)}, one logit per action, but gives {shape}. Check "
            "its last layer."
        )
