"""The Fisher information of choices about the parameters of each person."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .people_program import PeopleProgram


class Expansion(NamedTuple):
    """First derivatives of the log-likelihood of each person, and the expected information."""

    gradient: Float[Tensor, "person parameter"]
    information: Float[Tensor, "person parameter parameter"]


def expansion(program: PeopleProgram, u: Float[Tensor, "person parameter"]) -> Expansion:
    r"""Return the gradient of the log-likelihood of each person, and the Fisher information of all its choices.

    $$I_i = \sum_{\text{choices of } i} \sum_a p(a) \nabla_u \log p(a)\, \nabla_u \log p(a)^\top$$
    """
    seen, ways = program.tables.seen, torch.eye(u.shape[-1], dtype=u.dtype)
    rows = [torch.func.jvp(program.log_probabilities, (u.clone(),), (way.expand_as(u).clone(),)) for way in ways]
    log_p = rows[0][0]
    slopes = torch.stack([torch.where(log_p > -torch.inf, row[1], 0.0) for row in rows], -1)
    chosen = slopes[torch.arange(len(seen.action)), seen.action]
    each = torch.einsum("ca,cai,caj->cij", log_p.exp(), slopes, slopes)
    gradient = u.new_zeros(u.shape).index_add(0, seen.person, chosen)
    return Expansion(gradient, u.new_zeros(*u.shape, u.shape[-1]).index_add(0, seen.person, each))
