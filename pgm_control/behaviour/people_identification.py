"""Identifiability: which parameters of people their choices determine."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..text.wording import listed
from .information import expansion
from .people_program import PeopleProgram

_NOTHING = 1e-6  # nats per squared scale of the prior: the posterior is then as wide as the prior to six digits
_ALONG = 1e-4  # share of a quantity's gradient along a flat direction below which it counts as rounding


@final
@dataclass(frozen=True, eq=False, repr=False)
class PeopleIdentification:
    r"""Which parameters of people their choices determine. Printing it prints sentences.

    The result follows from the Fisher information of all choices of all people about one parameter vector u, the mean
    of the population. A quantity f(u) is identified if it does not change along the flat directions. Examples: if
    nothing is random, no choice depends on θ; if all rewards have unknown weights, only their ratio to τ matters.

    Attributes:
        names: the parameters of a person, as in `PeoplePrior`.
        information: the expected information of all choices, in nats per squared scale of the prior.
        flat: directions in which it is 0, in scales of the prior.
        quantities: whether each quantity is identified: the parameters, "optimism" and, for a reward weight that is not
            identified alone, its ratio to τ.
        num_unclear_people: the number of people whose own choices determine fewer directions than those of all.
        num_one_sided_people: the number of people who chose the same action every time. Such choices bound a
            parameter on one side only; the other side of its interval is that of the population and the prior.
    """

    names: tuple[str, ...]
    information: Float[Tensor, "parameter parameter"]
    flat: Float[Tensor, "direction parameter"]
    quantities: dict[str, bool]
    num_unclear_people: int
    num_one_sided_people: int

    def require(self, name: str) -> None:
        """Refuse a quantity that the choices do not determine.

        Raises:
            InvalidArgument: if so, with the reason and the remedy.
        """
        if not self.quantities.get(name, True):
            raise InvalidArgument(f"`{name}` is not identified by these choices. {self} Add problems that tell it.")

    def __str__(self) -> str:
        """Sentences that say what is not identified."""
        known = [name for name, found in self.quantities.items() if found]
        lines = []
        for direction in self.flat:
            largest = direction.abs().max()
            parts = [name for name, x in zip(self.names, direction, strict=True) if x.abs() > _ALONG * largest]
            lines.append(
                f"No choice depends on {parts[0]}."
                if len(parts) == 1
                else f"These choices do not tell {listed(parts)} apart: they may change together."
            )
        if self.flat.numel():
            lines.append(f"Identified: {listed(known) or 'nothing'}.")
        else:
            lines.append("All parameters are identified by the choices of all people.")
        if self.num_unclear_people:
            lines.append(
                f"The choices of {self.num_unclear_people} people alone determine less; the population adds the rest."
            )
        if self.num_one_sided_people:
            lines.append(
                f"{self.num_one_sided_people} people chose the same action every time: their choices bound their "
                "parameters on one side only, and the population and the prior give the rest."
            )
        return " ".join(lines)

    def __repr__(self) -> str:
        """The result in sentences, as `str` gives it."""
        return str(self)


def people_identification(program: PeopleProgram, u: Float[Tensor, " parameter"]) -> PeopleIdentification:
    """Return what the choices determine near one parameter vector."""
    names = tuple(each.name for each in program.parameters)
    width = torch.tensor([each.width for each in program.parameters]).to(u)
    of_people = expansion(program, u.expand(len(program.people), -1)).information * width[:, None] * width
    total = of_people.sum(0)
    sizes, vectors = torch.linalg.eigh(total)
    floor = torch.maximum(sizes[-1] * 1e-12, sizes.new_tensor(_NOTHING))
    flat = vectors.T[sizes <= floor]
    own = torch.linalg.eigvalsh(of_people) <= floor
    unclear = int((own.sum(-1) > len(flat)).sum())

    def is_identified(gradient: Tensor) -> bool:
        scaled = gradient * width
        return bool((flat @ scaled).norm() <= _ALONG * scaled.norm())

    ways = dict(zip(names, torch.eye(len(u)).to(u), strict=True))
    found = {name: is_identified(way) for name, way in ways.items()}
    if "risk" in ways:
        at = dict(zip(names, u, strict=True))
        found["optimism"] = is_identified(ways["risk"] + at["risk"] * ways["temperature"])  # of θτ, over τ
    for name in program.prior.weights or {}:
        if not found[name]:
            found[f"{name} / temperature"] = is_identified(ways[name] - u[names.index(name)] * ways["temperature"])
    return PeopleIdentification(names, total, flat, found, unclear, _one_sided(program))


def _one_sided(program: PeopleProgram) -> int:
    """The number of people with several choices, all of the same action."""
    seen = program.tables.seen
    actions = [seen.action[seen.person == i] for i in range(len(program.people))]
    return sum(len(each) > 1 and bool((each == each[0]).all()) for each in actions)
