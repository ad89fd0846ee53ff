"""A die that is thrown in parts: its faces are a product of factors, sampled one after the other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidProblem
from .log_space import relative
from .operators import certainty_equivalent, tilt

Number = float | Tensor


@final
@dataclass(frozen=True)
class Factors:
    r"""How the faces of a die split: $k = (k_1, \dots, k_F)$, the last varying fastest.

    Any distribution over the faces is a chain, $p(k) = \prod_i p(k_i \mid k_{<i})$; the order is that of sampling.

    Attributes:
        names: one name a factor.
        sizes: how many faces each has.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, argument: str, factors: "Mapping[str, int] | Factors | None", num_outcomes: int) -> "Factors | None":
        """The factors of an axis of so many faces, checked.

        Raises:
            InvalidProblem: naming the argument.
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
            if not (isinstance(name, str) and name.isidentifier()) or isinstance(size, bool) or size < 1:
                raise InvalidProblem(
                    f"`{argument}` must map plain names to whole numbers of faces, at least 1, but has {name!r}: "
                    f"{size!r}. A name has letters, digits and _ only."
                )
        if torch.Size(given.sizes).numel() != num_outcomes or not given.names:
            raise InvalidProblem(
                f"`{argument}` must have sizes whose product is the number of faces, {num_outcomes}, but they are "
                f"{list(given.sizes)}."
            )
        return given


def conditionals(log_joint: Float[Tensor, "*row outcome"], sizes: Sequence[int]) -> list[Tensor]:
    r"""The chain of a joint distribution, $\log p(k_i \mid k_{<i})$ of shape (*row, K_1, …, K_i).

    Where $k_{<i}$ is impossible it is uniform: never thrown, but normalised.
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
    """The joint log-probabilities of a chain, over one axis of faces: the inverse of `conditionals`."""
    if len(chain) == 1:
        return chain[0]
    total = aligned(chain[0], len(chain) - 1)
    for i, each in enumerate(chain[1:], 2):
        total = total + aligned(each, len(chain) - i)
    return total.flatten(total.ndim - len(chain))


def nested(
    x: Float[Tensor, "*row outcome"], chain: Sequence[Tensor], temperature: Number, optimism: Sequence[Number]
) -> list[Tensor]:
    r"""The certainty equivalent of a random event in several parts, each at its own price.

    $$L[x] = L^{(1)}_{\beta_1}\Bigl[L^{(2)}_{\beta_2}\bigl[\cdots x(k_1, k_2, \dots)\bigr]\Bigr]$$

    the factor that is sampled first outermost: it is chosen before the others are known. With one β for all it is
    $L_\beta$ of the whole die.

    Args:
        x: values of the outcomes, in reward units.
        chain: log-probabilities of the factors, as `conditionals` gives them; rows may have more leading axes.
        temperature: τ, in reward units per nat; a tensor has one for each row.
        optimism: β of each factor; a tensor has one for each row.

    Returns:
        The values of the first i factors, of shape (*row, K_1, …, K_i), for i = 0, that of each row, to F, those of the
        outcomes. In reward units.
    """
    values = [x.unflatten(-1, chain[-1].shape[-len(chain) :])]
    for i in reversed(range(len(chain))):
        number = aligned(temperature, i), aligned(optimism[i], i)
        values.append(certainty_equivalent(values[-1], chain[i], *number))
    return values[::-1]


def nested_tilt(
    values: Sequence[Tensor], chain: Sequence[Tensor], temperature: Number, optimism: Sequence[Number]
) -> Float[Tensor, "*row outcome"]:
    """The log-probabilities of the outcomes that attain what `nested` returns, `values`."""
    parts = enumerate(zip(values[1:], chain, optimism, strict=True))
    return joint([tilt(x, log_p, aligned(temperature, i), aligned(beta, i)) for i, (x, log_p, beta) in parts])


def aligned(table: Any, axes: int) -> Any:
    """With so many axes of size 1 at the end, if it is a tensor."""
    return table[(..., *[None] * axes)] if isinstance(table, Tensor) and axes else table


def charges(
    log_q: Iterable[Tensor], log_p: Iterable[Tensor], weights: Sequence[Number]
) -> Float[Tensor, "*row outcome"]:
    r"""What throwing a die differently costs, face by face: $\sum_i w_i \log q(k_i \mid k_{<i}) / p(k_i \mid k_{<i})$.

    In nats; 0 where q is 0.
    """
    pairs = list(zip(log_q, log_p, weights, strict=True))
    total: Tensor | None = None
    for i, (q, p, weight) in enumerate(pairs):
        each = aligned(aligned(weight, i + 1) * relative(q, p), len(pairs) - 1 - i)
        total = each if total is None else total + each
    assert total is not None
    return total.flatten(total.ndim - len(pairs))
