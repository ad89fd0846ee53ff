"""The dial for any Pyro program: chance charged at its own price, site by site."""

import re
from collections.abc import Callable
from typing import Any, final

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidArgument
from ...trajectories.betas import Betas
from ...trajectories.blocks import MarkovModel, require_model

_SITE = re.compile(r"(state|action|outcome)_(\d+)")


def with_optimism(program: Callable[[], Any], model: MarkovModel, optimism: OptimismLike) -> Callable[[], Any]:
    r"""A model or a guide of which the log-probabilities of chance are multiplied by 1/β, block by block.

        SVI(with_optimism(model, model, β), with_optimism(guide, model, β), optim, TraceEnum_ELBO())

    then maximises $J_\beta$ (see `infer`) in place of the ELBO, by sampling or by enumeration, for any guide that is a
    Pyro program at the model's sites. A block with β = 0 must be the model's in both, and is left as it is. A guide
    whose β is negative somewhere has to turn the gradient of that block around, as `DialGuide` does; Pyro's validation
    then warns of +inf at impossible faces, which count for nothing.

    Args:
        program: the model, or a guide.
        model: the model, which says what the sites are.
        optimism: β, a number or an `Optimism`; tables may be of the dynamics only.

    Raises:
        InvalidArgument: if parts of dice have different β: a site has one log-probability. `MarkovObjective` has them.
    """
    require_model(model, in_nats=True)
    betas = Betas.of(model.mdp, Optimism.of(optimism), model.temperature)
    if len(betas.dynamics) > 1 or len(betas.initial) > 1 or isinstance(betas.survival, Tensor):
        raise InvalidArgument(
            "`optimism` must be a number or a table of the dynamics for a Pyro program, whose sites are whole dice, "
            "but has factors, or a table of survival. Take loss=MarkovObjective(optimism), which tells the parts apart."
        )
    return _OptimismScale(betas.weights())(program)


@final
class _OptimismScale(Messenger):
    """Multiplies the log-probabilities of chance by the prices of where it is thrown."""

    def __init__(self, weights: Betas) -> None:
        super().__init__()
        self._initial, self._dynamics, self._survival = weights.initial[0], weights.dynamics[0], weights.survival
        if isinstance(self._dynamics, Tensor):  # a weight of 0 is of dice that cancel; the last row is the end
            table = torch.where(self._dynamics == 0, 1.0, self._dynamics)
            self._dynamics = torch.cat((table, torch.ones_like(table[:, :1])), 1)
        self._here: dict[str, Any] = {}

    def _pyro_sample(self, msg: Any) -> None:
        match = _SITE.fullmatch(msg["name"])
        if match is None or match[1] == "action":
            return
        t, weight = int(match[2]), self._survival
        if match[1] == "outcome":
            weight = self._dynamics
        elif t == 0:
            weight = self._initial
        if isinstance(weight, Tensor):
            msg["scale"] = msg["scale"] * weight[t, self._here["state"], self._here["action"]]
        elif weight != 0:
            msg["scale"] = msg["scale"] * weight

    def _pyro_post_sample(self, msg: Any) -> None:
        match = _SITE.fullmatch(msg["name"])
        if match is not None:
            self._here[match[1]] = msg["value"]
