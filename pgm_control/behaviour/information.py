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
    seen, size = program.tables.seen, u.shape[-1]
    at = u.detach().clone().requires_grad_()
    log_p = program.log_probabilities(at)
    # Each choice depends on its person only: Σ w ∂log p/∂u along one parameter of all people, differentiated by w.
    weight = torch.zeros_like(log_p, requires_grad=True)
    (by_people,) = torch.autograd.grad(torch.where(log_p > -torch.inf, log_p, 0.0), at, weight, create_graph=True)
    columns = [torch.autograd.grad(by_people[:, i].sum(), weight, retain_graph=True)[0] for i in range(size)]
    slopes, p = torch.stack(columns, -1), log_p.detach().exp()
    chosen = slopes[torch.arange(len(seen.action)), seen.action]
    each = torch.einsum("ca,cai,caj->cij", p, slopes, slopes)
    gradient = u.new_zeros(u.shape).index_add(0, seen.person, chosen)
    return Expansion(gradient, u.new_zeros(*u.shape, size).index_add(0, seen.person, each))
