"""Factored random events: an outcome is a tuple of factors, sampled one after the other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidProblem
from ..runtime.arguments import shown, whole_number
from .log_space import relative
from .operators import certainty_equivalent, tilt

Number = float | Tensor
_STEEP = 1e4  # the price of a nat, 1/β, above which the first order of log q/p is left out of a cost


@final
@dataclass(frozen=True)
class Factors:
    r"""The factors of an outcome index: $k = (k_1, \dots, k_F)$, the last varying fastest.

    Any distribution over the outcomes is a chain, $p(k) = \prod_i p(k_i \mid k_{<i})$, in the order of sampling.

    Attributes:
        names: the name of each factor.
        sizes: the number of outcomes of each factor.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, argument: str, factors: "Mapping[str, int] | Factors | None", num_outcomes: int) -> "Factors | None":
        """The factors of an axis of `num_outcomes` outcomes, checked.

        Raises:
            InvalidProblem: if an argument is invalid; the message names it.
        """
        if factors is None or isinstance(factors, Factors):
            given = factors
        elif isinstance(factors, Mapping):
            given = cls(tuple(factors), tuple(factors.values()))
        else:
            raise InvalidProblem(
                f"`{argument}` must map names to sizes, such as {{'motion': 3, 'wind': 2}}, but is {factors!r}."
            )
        if given is None:
            return None
        for name, size in zip(given.names, given.sizes, strict=True):
            if not (isinstance(name, str) and name.isidentifier()) or (whole_number(size) or 0) < 1:
                raise InvalidProblem(
                    f"`{argument}` must map plain names to whole numbers of outcomes, at least 1, but has {name!r}: "
                    f"{shown(size)}. A name has letters, digits and _ only."
                )
        if torch.Size(given.sizes).numel() != num_outcomes or not given.names:
            raise InvalidProblem(
                f"`{argument}` must have sizes whose product is the number of outcomes, {num_outcomes}, but they are "
                f"{list(given.sizes)}."
            )
        return given


def conditionals(log_joint: Float[Tensor, "*row outcome"], sizes: Sequence[int]) -> list[Tensor]:
    r"""The chain of a joint distribution, $\log p(k_i \mid k_{<i})$ of shape (*row, K_1, …, K_i).

    Where $k_{<i}$ is impossible the conditional is uniform: it is never sampled, but stays normalised.
    """
    if len(sizes) == 1:
        return [log_joint]
    table = log_joint.unflatten(-1, tuple(sizes))
    found, before = [], log_joint.logsumexp(-1)
    for i, size in enumerate(sizes):
        rest = tuple(range(table.ndim - len(sizes) + i + 1, table.ndim))
        margin = table.logsumexp(rest) if rest else table
        known = (before > -torch.inf)[..., None]
        split = margin - torch.where(known, before[..., None], 0.0)
        found.append(torch.where(known, split, -torch.log(torch.tensor(float(size)).to(split))))
        before = margin
    return found


def joint(chain: Sequence[Tensor]) -> Tensor:
    """The joint log-probabilities of a chain, over one axis of outcomes: the inverse of `conditionals`."""
    if len(chain) == 1:
        return chain[0]
    total = aligned(chain[0], len(chain) - 1)
    for i, each in enumerate(chain[1:], 2):
        total = total + aligned(each, len(chain) - i)
    return total.flatten(total.ndim - len(chain))


def nested(
    x: Float[Tensor, "*row outcome"], chain: Sequence[Tensor], temperature: Number, optimism: Sequence[Number]
) -> list[Tensor]:
    r"""The certainty equivalent of a factored random event, with one β for each factor.

    $$L[x] = L^{(1)}_{\beta_1}\Bigl[L^{(2)}_{\beta_2}\bigl[\cdots x(k_1, k_2, \dots)\bigr]\Bigr]$$

    The factor that is sampled first is outermost: its distribution is chosen before the later factors are known. If all
    β are equal, the result is $L_\beta$ of the joint event.

    Args:
        x: values of the outcomes, in reward units.
        chain: log-probabilities of the factors, as `conditionals` returns them; rows may have more leading axes.
        temperature: τ, in reward units per nat; a tensor has one τ for each row.
        optimism: β of each factor; a tensor has one β for each row.

    Returns:
        A list for i = 0, …, F: the values of the first i factors, of shape (*row, K_1, …, K_i), in reward units. The
        first entry holds the value of each row, the last the values of the outcomes.
    """
    values = [x.unflatten(-1, chain[-1].shape[-len(chain) :])]
    for i in reversed(range(len(chain))):
        number = aligned(temperature, i), aligned(optimism[i], i)
        values.append(certainty_equivalent(values[-1], chain[i], *number))
    return values[::-1]


def nested_tilt(
    values: Sequence[Tensor], chain: Sequence[Tensor], temperature: Number, optimism: Sequence[Number]
) -> Float[Tensor, "*row outcome"]:
    """The log-probabilities of the outcomes that attain the certainty equivalent; `values` are those of `nested`."""
    parts = enumerate(zip(values[1:], chain, optimism, strict=True))
    return joint([tilt(x, log_p, aligned(temperature, i), aligned(beta, i)) for i, (x, log_p, beta) in parts])


def aligned(table: Any, axes: int) -> Any:
    """A tensor with `axes` axes of size 1 appended; anything else unchanged."""
    return table[(..., *[None] * axes)] if isinstance(table, Tensor) and axes else table


def charges(
    log_q: Iterable[Tensor], log_p: Iterable[Tensor], weights: Sequence[Number]
) -> Float[Tensor, "*row outcome"]:
    r"""The cost of each outcome under changed dynamics: $\sum_i w_i \log q(k_i \mid k_{<i}) / p(k_i \mid k_{<i})$.

    The costs are in nats, and 0 where q is 0. At a high price the difference of logarithms would lose the digits of a
    small KL; there the cost is $w_i (\delta + e^{-\delta} - 1)$ with $\delta = \log q/p$, which has the same mean under
    normalised q and p.
    """
    pairs = list(zip(log_q, log_p, weights, strict=True))
    total: Tensor | None = None
    for i, (q, p, weight) in enumerate(pairs):
        each = aligned(aligned(weight, i + 1) * _cost(q, p, aligned(weight, i + 1)), len(pairs) - 1 - i)
        total = each if total is None else total + each
    assert total is not None
    return total.flatten(total.ndim - len(pairs))


def is_steep(weight: Number) -> bool:
    """Whether a price of a nat is so high that differences of logarithms lose digits of the cost."""
    return bool((weight.abs() > _STEEP).any()) if isinstance(weight, Tensor) else abs(weight) > _STEEP


def _cost(log_q: Tensor, log_p: Tensor, weight: Number) -> Float[Tensor, "*row outcome"]:
    """The log ratio, or at a high price a term with the same mean and without its first order."""
    ratio = relative(log_q, log_p)
    if not is_steep(weight):
        return ratio
    possible = log_q > -torch.inf
    missed = torch.where(possible, 0.0, log_p.exp()).sum(-1, keepdim=True)
    flat = torch.where(possible, ratio + torch.expm1(-ratio) + missed, 0.0)
    return torch.where(abs(torch.as_tensor(weight)) > _STEEP, flat, ratio)
