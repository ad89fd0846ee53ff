"""The sites that a guide fixes at a point, where it has no density."""

from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import Delta


def point_sites(model: Callable[[], Any], guide: Callable[[], Any]) -> list[str]:
    """The names of the continuous sites of a model that a guide, such as Pyro's `AutoDelta`, fixes at one value.

    There the KL of the guide is infinite, so that no ELBO is finite: what Pyro computes leaves the entropy out, is the
    log-density at the point, and depends on the unit of the site. A site that is a function of earlier random sites is
    none of these. Both programs are run, and neither generators nor Pyro's parameters change.
    """
    store = pyro.get_param_store()
    with store.scope(store.get_state()), torch.random.fork_rng(devices=[]), torch.no_grad(), poutine.block():
        drawn = poutine.trace(guide).get_trace()
        one: Any = drawn.nodes
        fixed = [name for name, site in one.items() if _is_point(site)]
        if not fixed:
            return []
        other: Any = poutine.trace(guide).get_trace().nodes
        scored: Any = poutine.trace(poutine.replay(model, trace=drawn)).get_trace().nodes
    fixed = [name for name in fixed if name in other and name in scored and not _is_point(scored[name])]
    return [
        name
        for name in fixed
        if not scored[name]["fn"].support.is_discrete and torch.equal(one[name]["value"], other[name]["value"])
    ]


def _is_point(site: Any) -> bool:
    """Whether a site of a trace is a point mass."""
    found: Any = site.get("fn") if site["type"] == "sample" else None
    while hasattr(found, "base_dist"):
        found = found.base_dist
    return isinstance(found, Delta)
