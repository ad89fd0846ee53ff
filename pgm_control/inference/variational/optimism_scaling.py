"""Optimism for any Pyro program: the sites of start, dynamics and survival are scaled by their price, 1/β."""

import re
from collections.abc import Callable
from typing import Any, final

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidArgument
from ...programs.roles import Roles, roles_of, temperature_of
from ...runtime.arguments import function, is_number, number, shown
from ...trajectories.betas import Betas
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.program import is_program

_SITE = re.compile(r"(state|action|outcome)_(\d+)")


def with_optimism(
    program: Callable[[], Any], model: MarkovModel | Callable[[], Any], optimism: OptimismLike
) -> Callable[[], Any]:
    r"""The model or guide with the log-probabilities of start, dynamics and survival multiplied by 1/β.

        SVI(with_optimism(model, model, β), with_optimism(guide, model, β), optim, TraceEnum_ELBO())

    then maximises $J_\beta$ (see `infer`) in place of the ELBO, by sampling or by enumeration, for any guide that is a
    Pyro program at the model's sites. A block with β = 0 must be the model's in both, and is not scaled. If a β is
    negative, the guide must reverse the gradient of that block, as `DialGuide` does; Pyro's validation then warns of
    +inf at impossible outcomes, which contribute nothing.

    The model may be any Pyro program that states the roles of its sites (see `log_weights`): those of chance before the
    first action are the start, all others are dynamics.

    Args:
        program: the model, or a guide.
        model: the model, which defines the sites.
        optimism: β, a number or an `Optimism`; of the tables, only one of the dynamics is allowed, and none for a
            program without tables.

    Raises:
        InvalidArgument: if factors of an event have different β: a site has one log-probability. `MarkovObjective`
            allows them.
    """
    if is_program(model):
        beta = Optimism.of(optimism).at(temperature_of(model))
        return _ProgramScale(roles_of(model), _price("start", beta.initial), _price("dynamics", beta.dynamics))(
            function("program", program)
        )
    model = require_model(model, in_nats=True, timed=True)
    betas = Betas.of(model.mdp, Optimism.of(optimism), model.temperature)
    if len(betas.dynamics) > 1 or len(betas.initial) > 1 or isinstance(betas.survival, Tensor):
        raise InvalidArgument(
            "`optimism` must be a number or a table of the dynamics for a Pyro program, whose sites are whole events, "
            "but has factors, or a table of survival. Use loss=MarkovObjective(optimism), which allows both."
        )
    return _OptimismScale(betas.weights())(function("program", program))


def _price(block: str, beta: object) -> float:
    """1/β of a block of a program; 1 where β = 0, since model and guide cancel there."""
    if not is_number(beta):
        raise InvalidArgument(
            f"`optimism` must be a number for the {block} of a Pyro program without tables, but is {shown(beta)}."
        )
    return 1.0 / number(beta) if number(beta) != 0 else 1.0


@final
class _ProgramScale(Messenger):
    """Multiply the log-probabilities of sites of chance by their price: one before the first action, one after."""

    def __init__(self, roles: Roles, start: float, dynamics: float) -> None:
        super().__init__()
        self._roles, self._start, self._dynamics, self._has_acted = roles, start, dynamics, False

    def __enter__(self) -> Any:
        self._has_acted = False
        return super().__enter__()

    def _pyro_sample(self, msg: Any) -> None:
        found = self._roles(msg["name"])
        self._has_acted |= "action" in found
        if "chance" in found:
            msg["scale"] = msg["scale"] * (self._dynamics if self._has_acted else self._start)


@final
class _OptimismScale(Messenger):
    """Multiply the log-probabilities of each site of chance by its price, at the current time, state and action."""

    def __init__(self, weights: Betas) -> None:
        super().__init__()
        self._initial, self._dynamics, self._survival = weights.initial[0], weights.dynamics[0], weights.survival
        if isinstance(self._dynamics, Tensor):  # where the weight is 0, model and guide cancel; the last row is the end
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
