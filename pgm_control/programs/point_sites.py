"""The sites that a guide fixes at a point, where it has no density."""

from collections.abc import Callable
from typing import Any

import torch

from .run import run_with, undisturbed


def point_sites(model: Callable[[], Any], guide: Callable[[], Any]) -> list[str]:
    """The names of the continuous sites of a model that a guide, such as Pyro's `AutoDelta`, fixes at one value.

    There the KL of the guide is infinite, so that no ELBO is finite: what Pyro computes leaves the entropy out, is the
    log-density at the point, and depends on the unit of the site. A site that is a function of earlier random sites is
    none of these. Both programs are run, and neither generators nor Pyro's parameters change.
    """
    with undisturbed(), torch.no_grad():
        one = run_with(guide, {})
        fixed = [name for name, site in one.items() if site.is_determined]
        if not fixed:
            return []
        other = run_with(guide, {})
        scored = run_with(model, {name: site.value for name, site in one.items()})
    fixed = [name for name in fixed if name in other and name in scored and not scored[name].is_determined]
    return [
        name
        for name in fixed
        if not scored[name].distribution.support.is_discrete and torch.equal(one[name].value, other[name].value)
    ]
