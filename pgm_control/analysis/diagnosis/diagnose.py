"""Is a guide bad, or badly fitted?

Sources:
    [vehtari2024] A. Vehtari et al., Pareto smoothed importance sampling. Journal of Machine Learning Research
        25(72):1–58, 2024. arXiv:1507.02646
    [yao2018] Y. Yao et al., Yes, but did it work?: evaluating variational inference. International Conference on
        Machine Learning, Proceedings of Machine Learning Research 80, 2018. arXiv:1802.02538
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from pyro.infer.elbo import ELBO
from torch import Tensor

from ...chance.optimism import Optimism
from ...errors import InvalidArgument
from ...inference.exact.infer import infer
from ...inference.sampling.estimate import Estimate, require_draws
from ...inference.sampling.log_weights import log_weights
from ...inference.sampling.resampling import effective_sample_size
from ...inference.variational.elbo import elbo
from ...inference.variational.latent_blocks import HasLatentBlocks
from ...inference.variational.svi_losses import AuxiliaryELBO, MarkovELBO
from ...programs.own_parameters import own_parameters
from ...runtime.arguments import shown
from ...runtime.randomness import seeded
from ...trajectories.blocks import Assignable, Blocks, HasBlocks, MarkovModel, require_model
from ...trajectories.gaussian.model import is_gaussian
from ...trajectories.gaussian.terms import is_exact_here
from ...trajectories.program import is_program
from ...trajectories.tabulate import tabulate
from ..continuous.closed_form import continuous_objective, reference
from .diagnosis import Diagnosis
from .gradients import default_losses, gradient_noise
from .importance import pareto_shape
from .strangers import strangers

_FREE = Optimism(1.0, 1.0, 1.0)


def diagnose(
    model: MarkovModel | Callable[[], Any],
    guide: Callable[[], Any],
    num_samples: int = 4000,
    *,
    num_gradients: int = 30,
    losses: Mapping[str, ELBO] | None = None,
    seed: int | torch.Generator | None = None,
) -> Diagnosis:
    r"""Find out whether a guide is bad or badly fitted, in numbers and in words.

    - The gap log p(O) − ELBO, split into that of the family and that of the optimisation, where the best guide of the
      family is known: for a guide with `optimum()` that is fitted to the ELBO, such as `ClampedGuide`.
    - The Pareto shape k̂ and the effective sample size of the log-weights [vehtari2024, yao2018]: where k̂ is large, the
      guide misses a part of the posterior, even if its ELBO looks converged.
    - The noise of the gradient under each loss: a fit whose gradients are noise does not end. It is 0 for `MarkovELBO`.
    - The states to which the true world leads the guide's policy, and which the guide does not expect: an ELBO is an
      average over what the guide imagines, so that the policy is untrained there.

    The parameters of the guide, their `.grad` and Pyro's parameters are left as they are.

    Args:
        model: a tabular or linear-quadratic model, or any other Pyro program (see `log_weights`), for which log p(O) is
            not known.
        guide: any guide for it. For one without `blocks()` the ELBO is estimated, and only the whole gap is known.
        num_samples: the number of draws from the guide, at least 25.
        num_gradients: the number of gradients from which the noise of each loss is estimated, at least 2.
        losses: by name, the losses whose gradients are compared. Default: the exact `MarkovELBO` for tables; Pyro's
            `Trace_ELBO`, `TraceGraph_ELBO`, `RenyiELBO` of order 1/2 and `ReweightedWakeSleep`, with as few particles
            as they take.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument: at temperature 0, or if an argument is invalid; the message names it.
        InvalidGuide: if the guide does not fit the model, or has no density.

    References:
        [vehtari2024], [yao2018]

    Examples:
        >>> from pgm_control import ClampedGuide, TabularModel, diagnose, fit
        >>> from pgm_control.models import lottery
        >>> model = TabularModel(lottery())
        >>> guide = fit(model, ClampedGuide(model), method="exact").guide
        >>> diagnose(model, guide, num_samples=200, seed=0).sentences[1]
        'The fit has ended: the guide is the best member of its family.'
    """
    num_samples, num_gradients = _draws(num_samples), require_draws("num_gradients", num_gradients)
    tabular = None if is_program(model) else require_model(model, in_nats=True, timed=True)
    with seeded(seed):
        drawn = log_weights(model, guide, num_samples)
        blocks = _tables(tabular, guide)
        if losses is None:
            losses = {**_exact_loss(blocks, guide), **default_losses()}
        with own_parameters(guide):
            gradients = gradient_noise(model, guide, _checked(losses), num_gradients)
    found = Estimate.of(drawn)
    if tabular is not None and blocks is not None:
        with torch.no_grad():
            found = Estimate(float(elbo(tabular, blocks)), 0.0, num_samples)
    evidence = _evidence(model, tabular)
    if is_gaussian(model) and is_exact_here(model, guide):
        found = Estimate(continuous_objective(model, guide, _FREE), 0.0, num_samples)
    best = None if tabular is None else _best(tabular, guide)
    return Diagnosis(
        guide=getattr(guide, "__name__", type(guide).__name__),
        elbo=found,
        log_evidence=evidence,
        family_gap=None if evidence is None or best is None else evidence - best,
        optimisation_gap=None if best is None else best - found.mean,
        pareto_shape=pareto_shape(drawn),
        effective_sample_size=float(effective_sample_size(drawn.detach().double()[None])[0]),
        num_samples=num_samples,
        covered=None if evidence is None else _covered(drawn, evidence),
        gradients=gradients,
        strangers=None if tabular is None or blocks is None else strangers(tabular, blocks),
    )


def _evidence(model: object, tabular: MarkovModel | None) -> float | None:
    """log p(O), where it is known exactly."""
    if is_gaussian(model):
        return reference(model)
    return None if tabular is None else infer(tabular, _FREE).log_evidence


def _tables(model: MarkovModel | None, guide: object) -> Blocks | None:
    """The blocks of the guide, if it and the model have some."""
    if model is None or not isinstance(guide, HasBlocks):
        return None
    with torch.no_grad():
        return tabulate(model, guide)


def _exact_loss(blocks: Blocks | None, guide: object) -> dict[str, ELBO]:
    """The loss without noise, by name, where there is one."""
    if isinstance(guide, HasLatentBlocks):
        return {"AuxiliaryELBO": AuxiliaryELBO()}
    return {} if blocks is None else {"MarkovELBO": MarkovELBO()}


def _covered(log_weight: Float[Tensor, " draw"], log_evidence: float) -> float:
    """The mean weight over p(O), at most 1."""
    mean = float(torch.logsumexp(log_weight.detach().double(), 0)) - math.log(len(log_weight))
    return math.exp(min(0.0, mean - log_evidence))


def _best(model: MarkovModel, guide: object) -> float | None:
    """The largest ELBO of the guide's family, or None if it is not known."""
    if not isinstance(guide, Assignable) or not guide.optimism.is_elbo:
        return None
    with torch.no_grad():
        return float(elbo(model, guide.optimum()))


def _draws(num_samples: Any) -> int:
    found = require_draws("num_samples", num_samples)
    if found < 25:
        raise InvalidArgument(f"`num_samples` must be at least 25 for a Pareto shape, but is {shown(num_samples)}.")
    return found


def _checked(losses: Any) -> Mapping[str, ELBO]:
    if not isinstance(losses, Mapping) or not all(isinstance(each, ELBO) for each in losses.values()):
        raise InvalidArgument(
            '`losses` must map names to Pyro losses, such as {"Trace_ELBO": Trace_ELBO()}, but is '
            f"{shown(losses)}. Leave it out for the usual ones."
        )
    return losses
