"""The blocks of a guide or a policy, checked against a model."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidGuide
from .blocks import Blocks, HasBlocks, MarkovModel
from .policy import TabularPolicy


def blocks_of(
    model: MarkovModel,
    guide_or_policy: HasBlocks | TabularPolicy | Float[Tensor, "..."] | Float[np.ndarray, "..."],
) -> Blocks:
    """The factors of a guide, checked against the model; those of a bare policy are completed by the true world.

    Raises:
        InvalidGuide: naming the block and the remedy.
    """
    truth = model.blocks()
    if not isinstance(guide_or_policy, HasBlocks):
        table = TabularPolicy.of(guide_or_policy).table(model.mdp.horizon).to(truth.log_policy)
        return _checked(Blocks(truth.log_initial, table.log(), truth.log_dynamics), truth)
    return _checked(guide_or_policy.blocks(), truth)


def _checked(blocks: Blocks, truth: Blocks) -> Blocks:
    for name in ("log_initial", "log_policy", "log_dynamics"):
        given, expected = getattr(blocks, name), getattr(truth, name)
        if given.shape != expected.shape:
            raise InvalidGuide(
                f"`{name}` of the guide must have shape {tuple(expected.shape)} for this model, but has "
                f"{tuple(given.shape)}. Build the guide from the same model; a table that holds for all times needs "
                ".expand(T, …)."
            )
        off = (given.detach().exp().sum(-1) - 1).abs().max()
        if not off <= (1e-6 if given.dtype == torch.float64 else 1e-4):
            raise InvalidGuide(
                f"`{name}` of the guide must hold normalised log-probabilities, but a row sums to 1 ± {float(off):.3g} "
                "after exp. Pass it through torch.log_softmax(…, -1)."
            )
    alive, expected = blocks.log_survival, truth.log_policy.shape[:2]
    if alive is not None and (alive.shape != expected or not bool((alive.detach() <= 0).all())):
        raise InvalidGuide(
            f"`log_survival` of the guide must be log-probabilities, 0 or less, of shape {tuple(expected)} (time, "
            f"state), but has shape {tuple(alive.shape)} and the maximum {float(alive.detach().max()):.3g}. Leave it "
            "None to clamp it."
        )
    return blocks
