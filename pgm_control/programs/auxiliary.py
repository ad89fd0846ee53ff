r"""Auxiliary sites: variables z that a guide samples and its model does not, and the reverse model r of them.

For a model $\tilde p(x)$ and a guide $q(x, z)$, the bound

$$E_q[\log \tilde p(x) + \log r(z \mid x) - \log q(x, z)] \le E_q[\log \tilde p(x) - \log q(x)] \le \log p(O)$$

holds for any distribution r, with equality on the left at r(z|x) = q(z|x) [agakov2004, ranganath2016]. Without r the
expectation exceeds the second term by the entropy of z given x, and is no bound: Pyro leaves r out in silence.

Sources:
    [agakov2004] F. V. Agakov and D. Barber, An auxiliary variational method. Neural Information Processing, Lecture
        Notes in Computer Science 3316, pages 561–566, 2004. doi:10.1007/978-3-540-30499-9_86
    [ranganath2016] R. Ranganath, D. Tran and D. M. Blei, Hierarchical variational models. International Conference on
        Machine Learning, pages 324–333, 2016. arXiv:1511.02386
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from pyro import poutine
from pyro.distributions import Unit
from pyro.poutine.runtime import InferDict
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from ..errors import InvalidGuide
from ..runtime.arguments import shown
from ..runtime.programs import require_callable
from .run import run_with

Program = Callable[[], Any]


@runtime_checkable
class HasReverse(Protocol):
    """A guide with auxiliary sites and a reverse model."""

    def __call__(self) -> Any:
        """Run as a Pyro program."""
        ...

    def reverse(self, values: Mapping[str, Tensor]) -> None:
        """Sample every auxiliary site from r, as a Pyro program, given the values of the sites of the model."""
        ...


def is_auxiliary(site: Mapping[str, Any]) -> bool:
    """Whether this site of a trace is auxiliary: `pyro.sample(…, infer={"is_auxiliary": True})`, not a factor."""
    return site["type"] == "sample" and bool(site["infer"].get("is_auxiliary")) and not isinstance(site["fn"], Unit)


def require_reverse(guide: object, auxiliary: Iterable[str]) -> None:
    """Require a reverse model of a guide with these auxiliary sites.

    Raises:
        InvalidGuide: if there is a site and no method `reverse`.
    """
    names = sorted(auxiliary)
    if names and not isinstance(guide, HasReverse):
        raise InvalidGuide(
            f"`guide` must have a reverse model for its auxiliary site `{names[0]}`, but has no method "
            "`reverse(values)`. Without r(z | trajectory) the entropy of z enters the ELBO, which is then no bound. "
            "Write a class with that method, which samples each auxiliary site given the values of the other sites."
        )


def with_reverse(model: Program, guide: HasReverse) -> tuple[Program, Program]:
    r"""The pair of programs on the extended space (x, z): the model and the reverse model, and the guide.

    $$\tilde p(x)\, r(z \mid x) \qquad \text{and} \qquad q(x, z)$$

    Any loss of Pyro for the pair is that of the auxiliary bound: `SVI(*with_reverse(model, guide), optim,
    Trace_ELBO())`. The auxiliary sites are ordinary sites of both programs. `fit` makes the pair by itself.

        extended, sampler = with_reverse(model, OptionGuide(model))
        bound = -Trace_ELBO(num_particles=100).loss(extended, sampler)

    Raises:
        InvalidArgument: if the model cannot be called without arguments.
        InvalidGuide: if the guide has no method `reverse`.

    References:
        [agakov2004], [ranganath2016]
    """
    require_callable("model", model)
    if isinstance(guide, type) or not isinstance(guide, HasReverse):
        raise InvalidGuide(
            f"`guide` must have a reverse model, a method `reverse(values)`, but is {shown(guide)}. A guide without "
            "auxiliary sites needs none."
        )

    def extended() -> Any:
        with poutine.trace() as traced:
            returned = model()
        nodes: dict[str, Any] = dict(traced.trace.nodes)
        guide.reverse({name: node["value"] for name, node in nodes.items() if _is_variable(node)})
        return returned

    return extended, poutine.infer_config(guide, _ordinary)


def log_reverse(guide: HasReverse, values: Mapping[str, Tensor], auxiliary: Mapping[str, Tensor]) -> Tensor:
    """log r of the auxiliary sites given the values of the sites of the model, in nats.

    Raises:
        InvalidGuide: if the reverse model samples other sites.
    """
    found = run_with(lambda: guide.reverse(values), auxiliary)
    if odd := sorted(set(found) ^ set(auxiliary)):
        raise InvalidGuide(
            f"The reverse model of `guide` must sample its auxiliary sites and no other, but `{odd[0]}` is "
            f"{'missing' if odd[0] in auxiliary else 'extra'}."
        )
    return torch.stack([site.log_probability for site in found.values()]).sum()


def _is_variable(node: Any) -> bool:
    """Whether this node of a trace is a variable of the model; a factor is an observation."""
    return node["type"] == "sample" and not site_is_subsample(node) and not node["is_observed"]


def _ordinary(site: Mapping[str, Any]) -> InferDict:
    """What `infer` becomes in the extended guide, in which no site is auxiliary: Pyro warns of those in a model."""
    return {"is_auxiliary": False} if is_auxiliary(site) else {}
