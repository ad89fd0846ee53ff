"""What is estimated for any Pyro program, from the roles of its sites."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...programs.replay import Pair
from ...programs.roles import require_program, temperature_of
from ...programs.true_world import in_true_world
from ...runtime.arguments import whole
from ...runtime.randomness import generator_of


class ProgramDraws(NamedTuple):
    """Independent draws of a guide of a Pyro program, and of its actions in the world of the model.

    Attributes:
        log_weight: log p~ − log q, in nats.
        imagined_return, true_return: τ times the log-factors of optimality, in reward units.
        policy_kl, dynamics_kl: log q − log p of the actions and of chance in the guide's draws, in nats; None if the
            guide computes its sites from auxiliary variables, which have one density together.
        policy_entropy: −log q of the actions in the world of the model, in nats, or None as before.
    """

    log_weight: Float[Tensor, " draw"]
    imagined_return: Float[Tensor, " draw"]
    true_return: Float[Tensor, " draw"]
    policy_kl: Float[Tensor, " draw"] | None
    dynamics_kl: Float[Tensor, " draw"] | None
    policy_entropy: Float[Tensor, " draw"] | None


def pair_of(model: object, guide: object) -> Pair:
    """A program and its guide, compared.

    Raises:
        InvalidArgument, InvalidGuide: if they do not fit; see `Pair`.
    """
    require_program("model", model, "a tabular model")
    require_program("guide", guide, "a guide of the model")
    return Pair(model, guide)  # pyright: ignore[reportArgumentType]  checked above


def seed_of(seed: int | torch.Generator | None) -> int | None:
    """A seed for programs, which draw from torch's global generators; None for None."""
    generator = seed if isinstance(seed, torch.Generator) else generator_of(seed)
    return None if generator is None else int(torch.randint(2**62, (), generator=generator, device=generator.device))


def program_log_weights(
    model: object, guide: object, num_samples: int, seed: int | torch.Generator | None
) -> Float[Tensor, " draw"]:
    """The log-weights of draws from a guide of a Pyro program, in nats."""
    pair = pair_of(model, guide)
    return pair.replayed(whole("num_samples", num_samples), seed_of(seed)).log_weight


def program_draws(
    model: Callable[[], Any], guide: object, num_samples: int, seed: int | torch.Generator | None
) -> ProgramDraws:
    """The draws from which the score of a guide of a Pyro program is estimated."""
    pair, tau, generator = pair_of(model, guide), temperature_of(model), generator_of(seed)
    believed = pair.replayed(num_samples, seed_of(generator))
    true = in_true_world(pair, num_samples, seed_of(generator))

    def relative(role: str) -> Float[Tensor, " draw"] | None:
        if pair.is_determined:
            return None
        drawn = (name for name in pair.latent if pair.has_role(name, role))
        return _sum((believed.log_guide[name] - believed.log_model[name] for name in drawn), believed.log_weight)

    imagined = (each for name, each in believed.log_model.items() if pair.has_role(name, "optimality"))
    return ProgramDraws(
        log_weight=believed.log_weight,
        imagined_return=tau * _sum(imagined, believed.log_weight),
        true_return=tau * _sum(true.log_optimality.values(), believed.log_weight),
        policy_kl=relative("action"),
        dynamics_kl=relative("chance"),
        policy_entropy=None if pair.is_determined else -_sum(true.log_policy.values(), believed.log_weight),
    )


def _sum(terms: Iterable[Float[Tensor, " draw"]], like: Float[Tensor, " draw"]) -> Float[Tensor, " draw"]:
    return sum(terms, torch.zeros_like(like))
