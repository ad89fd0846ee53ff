"""Sequential Monte Carlo with a guide as the proposal: resampling drops trajectories of low weight on the way.

Sources:
    [andrieu2010] C. Andrieu, A. Doucet and R. Holenstein, Particle Markov chain Monte Carlo methods. Journal of the
        Royal Statistical Society B 72(3):269–342, 2010. doi:10.1111/j.1467-9868.2009.00736.x
    [doucet2001] A. Doucet, N. de Freitas and N. Gordon, Sequential Monte Carlo Methods in Practice. Springer, 2001.
        doi:10.1007/978-1-4757-3437-9
    [guarniero2017] P. Guarniero, A. M. Johansen and A. Lee, The iterated auxiliary particle filter. Journal of the
        American Statistical Association 112(520):1636–1647, 2017. doi:10.1080/01621459.2016.1222291
    [kitagawa1996] G. Kitagawa, Monte Carlo filter and smoother for non-Gaussian nonlinear state space models. Journal
        of Computational and Graphical Statistics 5(1):1–25, 1996. doi:10.1080/10618600.1996.10474692
    [lee2018] A. Lee and N. Whiteley, Variance estimation in the particle filter. Biometrika 105(3):609–625, 2018.
        doi:10.1093/biomet/asy028
    [piche2019] A. Piché et al., Probabilistic planning with sequential Monte Carlo methods. International Conference on
        Learning Representations, 2019.
"""

import dataclasses
import html
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...errors import InvalidArgument, InvalidGuide
from ...problems.mdp import TabularMDP
from ...programs.auxiliary import HasReverse
from ...runtime.arguments import shown, whole
from ...runtime.randomness import generator_of
from ...text.wording import amount
from ...trajectories.blocks import MarkovModel, require_model
from ...trajectories.process import MarkovProcess, Process, arrival, log_probability, process_of, transitions
from ...trajectories.program import is_program
from ...trajectories.samples import Occupancy, Trajectories
from ...trajectories.tabulate import tabulate
from .iwae import require_particles
from .log_weights import log_target, trajectories_of
from .lookahead import HasBridge, Lookahead
from .of_programs import pair_of
from .particles import Runs, require_possible, run_smc
from .program_particles import run_program_smc


@final
@dataclass(frozen=True, eq=False, repr=False)
class SMC:
    """Weighted trajectories that approximate the posterior, with an estimate of log p(O).

    Attributes:
        model: the model whose posterior they approximate.
        log_evidence: log Ẑ, in nats. Its exp is unbiased for p(O), so that log Ẑ is too low on average. −inf if every
            particle has weight 0, because it reached something forbidden.
        log_weights: the normalised log-weights of the trajectories, in nats; all −inf if every particle has weight 0.
        trajectories: one trajectory per particle, which includes the past of its ancestors. For a Pyro program: the
            values of its sites by name.
        effective_sample_size: 1/Σ w² after the start and after each step, before any resampling: N where all weights
            are equal, 0 where all are 0. For a Pyro program: after each site of optimality, or with a lookahead before
            each action but the first, and at the end.
        resampled: whether the particles were resampled before each step.
        standard_error: of log Ẑ, in nats, from the genealogy of this run [lee2018]; infinite if v > 0.1 there, which
            is fewer than ten families of particles. It knows only of where the particles went: a proposal narrower than
            the posterior, as one fitted to the ELBO is, can miss a part of log p(O) that this error does not show.

    References:
        [lee2018]
    """

    model: MarkovModel | Callable[[], Any]
    log_evidence: float
    log_weights: Float[Tensor, " particle"]
    trajectories: Trajectories | Any  # the values by name for a program
    effective_sample_size: Float[Tensor, " time_and_last"]
    resampled: Bool[Tensor, " time"]
    standard_error: float

    def sample(self, num_samples: int = 1, seed: int | torch.Generator | None = None) -> Trajectories | Any:
        """Trajectories of particles drawn by weight, with replacement.

        They share ancestors; independent trajectories require independent runs.

        Args:
            num_samples: the number of trajectories.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid, which the message names, or if every particle has weight 0.
        """
        generator = generator_of(seed, self.log_weights.device)
        if self.log_evidence == -math.inf:
            raise InvalidArgument(
                "`sample` needs a particle of positive weight, but every one reached something forbidden. Raise "
                "`num_particles`, or propose with a guide that avoids it, such as a fitted one."
            )
        rows = self.log_weights.exp().expand(whole("num_samples", num_samples), -1)
        chosen = torch.multinomial(rows, 1, generator=generator)[:, 0]
        if not isinstance(self.trajectories, Trajectories):
            return {name: each[chosen] for name, each in self.trajectories.items()}
        return Trajectories(*(each[chosen] for each in self.trajectories))

    def marginals(self) -> Occupancy:
        """The weighted frequencies of states and of (state, action, outcome), by time; consistent but not unbiased.

        Raises:
            InvalidArgument: for a Pyro program, which has no table of them.
        """
        if not isinstance(self.model, MarkovModel):
            raise InvalidArgument("`marginals` are those of a tabular model. Draw from a program's by sample(1000).")
        return weighted_marginals(self.model.mdp, self.trajectories, self.log_weights.exp())

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON or a data frame."""
        return {
            "log_evidence": self.log_evidence,
            "standard_error": self.standard_error,
            "num_particles": len(self.log_weights),
            "effective_sample_size": self.effective_sample_size.tolist(),
            "resampled": self.resampled.tolist(),
        }

    def __str__(self) -> str:
        """A table for a terminal."""
        error = amount(self.standard_error) if math.isfinite(self.standard_error) else "unknown"
        reached = f"log Ẑ = {self.log_evidence:.6f} nats, standard error {error}"
        lines = [f"{reached}, {len(self.log_weights)} particles", "time  ESS"]
        for t, size in enumerate(self.effective_sample_size.tolist()):
            mark = "  resampled" if t < len(self.resampled) and bool(self.resampled[t]) else ""
            lines.append(f"{t:>4}  {size:.1f}{mark}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same table for a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"


def smc(
    model: MarkovModel | Callable[[], Any],
    guide: object,
    num_particles: int,
    *,
    threshold: float = 0.5,
    seed: int | torch.Generator | None = None,
    lookahead: Float[Tensor, "time_and_last state"] | Lookahead | None = None,
) -> SMC:
    r"""The result of sequential Monte Carlo with a guide as the proposal.

    After a step the weight of a particle is multiplied by

    $$\frac{\rho(a \mid s)\, p(k \mid s,a)\, \exp(r/\tau)}{\pi(a \mid h)\, q(k \mid h,a)}\;
        \frac{\psi_{t+1}(s')}{\psi_t(s)}$$

    and if the effective sample size falls below `threshold` times N the particles are resampled systematically
    [kitagawa1996]. A lookahead log ψ estimates the value of the remaining steps. With the exact values V/τ and the
    exact posterior as the proposal, all weights equal p(O) [piche2019]. exp(log Ẑ) is unbiased for p(O) with any
    lookahead.

    `pyro.infer.SMCFilter` traces a model and a guide written as `init` and `step`. This function reads the tables that
    the Pyro programs share, so that any guide with tables can propose. A Pyro program without tables (see
    `log_weights`) and its guide are run anew up to each site of optimality, with the values drawn so far, so that T
    steps cost T²/2; auxiliary variables of the guide are part of the particle, and cancel in its weight.

    Args:
        model: the tabular model, or any Pyro program with `roles`; see `log_weights`.
        guide: the proposal, with `blocks()` or with a memory (`process()`), or a Pyro function. A function that no
            table holds (see `tabulate`), and a guide with auxiliary sites and no process, such as `LatentPolicyGuide`,
            are run as programs.
        num_particles: the number of particles, N.
        threshold: in [0, 1]. With 0 the particles are never resampled, which is importance sampling; with 1 they are
            resampled whenever the weights differ.
        seed: an integer, a generator, or None for torch's global generator.
        lookahead: log ψ, in nats: an estimate of the value of the remaining steps from each state and time, such as
            `infer(model, 1.0).v / model.temperature`. −inf is replaced by the smallest finite value of the same time,
            since a lookahead must not exclude states. The last row is replaced by the final reward, which is known.
            None means 0 everywhere. For a program with the sites `state_t` and `action_t`: a function of t = 1 … T − 1
            and a batch of states that returns log ψ_t, finite [guarniero2017]; particles are then resampled before each
            action. None means that of the guide if it has a method `lookahead()`, such as a `GridPosterior`, and else
            0. With None a guide with a method `bridge()`, such as a Gaussian guide of a model over vectors, proposes by
            that (see `GaussianGuide.bridge`), because a guide fitted to the ELBO is narrower than the posterior.

    Raises:
        InvalidArgument: if an argument is invalid, which the message names, or at temperature 0.

    References:
        [doucet2001], [guarniero2017], [kitagawa1996], [piche2019]
    """
    particles = require_particles(num_particles)
    if is_program(model):
        return _of_program(model, guide, particles, threshold, generator_of(seed), lookahead)
    model = require_model(model, in_nats=True, timed=True)
    generator, process = generator_of(seed, model.mdp.initial.device), _process_or_none(model, guide)
    if process is None:
        found = _of_program(model, guide, particles, threshold, generator, lookahead)
        values: Any = found.trajectories
        return dataclasses.replace(found, trajectories=trajectories_of(model.mdp, values))
    return _only(model, run_smc(model, process, particles, 1, threshold, generator, lookahead))


def conditional_smc(
    model: MarkovModel | Callable[[], Any],
    guide: object,
    reference: Trajectories | Mapping[str, Tensor],
    num_particles: int,
    *,
    threshold: float = 0.5,
    seed: int | torch.Generator | None = None,
    lookahead: Float[Tensor, "time_and_last state"] | Lookahead | None = None,
) -> SMC:
    r"""The result of sequential Monte Carlo in which particle 0 is a given trajectory: a step of particle Gibbs.

    If the reference is drawn from the exact posterior, so is `conditional_smc(…).sample(1)`. Iterating it is a Markov
    chain whose stationary distribution is the exact posterior, for any N ≥ 2 and any guide. The resampling is
    multinomial and keeps particle 0, which is sufficient for this property.

    Args:
        reference: one trajectory (a batch of 1), possible in the model and under the guide; for a program the values
            of its sites, such as .sample(1) of a run of `smc`, with the auxiliary ones.
        model, guide, num_particles, threshold, seed, lookahead: as in `smc`.

    Raises:
        InvalidArgument: as `smc`, and if the reference is not one trajectory or is impossible.

    References:
        [andrieu2010]
    """
    if is_program(model):
        particles, generator = require_particles(num_particles), generator_of(seed)
        return _of_program(model, guide, particles, threshold, generator, lookahead, reference)
    model = require_model(model, in_nats=True, timed=True)
    process, generator = proposal_of(model, guide), generator_of(seed, model.mdp.initial.device)
    if not isinstance(reference, Trajectories):
        raise InvalidArgument(
            f"`reference` must be Trajectories, as .sample(1) returns them, but is {shown(reference)}."
        )
    if len(reference.states) != 1:
        raise InvalidArgument(
            f"`reference` must be one trajectory, but is a batch of {len(reference.states)}. Take .sample(1) of a "
            "posterior or of a run of SMC."
        )
    for log_probability_of_it, owner in (
        (log_target(model, reference), "the model"),
        (log_probability(process, model.mdp, reference), "the guide"),
    ):
        require_possible(log_probability_of_it, owner)
    for transition in transitions(model.mdp, reference):
        if not torch.equal(arrival(model.mdp, transition), reference.states[:, transition.t + 1]) and bool(
            transition.survives
        ):
            raise InvalidArgument(
                f"The states of `reference` must agree with its outcomes, but the outcome at step {transition.t} "
                f"does not lead to state {int(reference.states[0, transition.t + 1])}. Take one from a run of "
                "smc(model, guide, …)."
            )
    found = run_smc(model, process, require_particles(num_particles), 1, threshold, generator, lookahead, reference)
    return _only(model, found)


def _process_or_none(model: MarkovModel, guide: object) -> Process | None:
    """The guide as a process; None for a Pyro program that no table holds."""
    try:
        return None if isinstance(guide, HasReverse) and process_of(model, guide) is None else proposal_of(model, guide)
    except InvalidGuide:
        if not isinstance(guide, FunctionType):
            raise
        return None


def _of_program(
    model: Callable[[], Any],
    guide: object,
    particles: int,
    threshold: float,
    generator: torch.Generator | None,
    lookahead: object,
    reference: object = None,
) -> SMC:
    if lookahead is None and not isinstance(guide, type) and isinstance(guide, HasBridge):
        guide = guide.bridge()
    found = run_program_smc(pair_of(model, guide), particles, threshold, generator, reference, lookahead)
    return _result(
        model, found.log_evidence, found.log_weights, found.values, found.effective_sample_size, found.resampled,
        found.standard_error,
    )  # fmt: skip


def proposal_of(model: MarkovModel, guide: object) -> Process:
    """The guide as a process, which can be sampled one step at a time.

    Raises:
        InvalidGuide: if it has no blocks and no memory, and is no function that `tabulate` can read.
    """
    require_model(model, in_nats=True, timed=True)
    return process_of(model, guide) or MarkovProcess(tabulate(model, guide))  # pyright: ignore[reportArgumentType]


def weighted_marginals(mdp: TabularMDP, trajectories: Trajectories, weight: Float[Tensor, " batch"]) -> Occupancy:
    """The weighted frequencies of each state and each (state, action, outcome) in the trajectories, by time."""
    sizes = (mdp.num_states, mdp.num_actions, mdp.num_outcomes)
    states, actions, outcomes = trajectories
    alive, steps = states < mdp.num_states, mdp.horizon
    mass = torch.where(alive, weight[:, None], 0.0)
    here, time = torch.where(alive, states, 0), torch.arange(steps + 1, device=states.device)
    visits = mass.new_zeros(steps + 1, sizes[0]).index_put((time.expand_as(here), here), mass, accumulate=True)
    index = (time[:-1].expand_as(actions), here[:, :-1], actions, outcomes)
    return Occupancy(visits, mass.new_zeros(steps, *sizes).index_put(index, mass[:, :-1], accumulate=True))


def _only(model: MarkovModel, runs: Runs) -> SMC:
    """The result of the first run."""
    paths = Trajectories(runs.states[0], runs.actions[0], runs.outcomes[0])
    sizes, resampled = runs.effective_sample_size[0], runs.resampled[0]
    return _result(model, runs.log_evidence[0], runs.log_weights[0], paths, sizes, resampled, runs.standard_error[0])


def _result(
    model: MarkovModel | Callable[[], Any],
    log_evidence: Tensor,
    log_weight: Float[Tensor, " particle"],
    trajectories: Trajectories | Mapping[str, Tensor],
    effective_sample_size: Float[Tensor, " time_and_last"],
    resampled: Bool[Tensor, " time"],
    standard_error: Float[Tensor, ""],
) -> SMC:
    """The result, with normalised weights if any is positive."""
    log_total = torch.logsumexp(log_weight, -1)
    return SMC(
        model=model,
        log_evidence=float(log_evidence),
        log_weights=torch.where(log_total > -torch.inf, log_weight - log_total, log_weight),
        trajectories=trajectories,
        effective_sample_size=effective_sample_size,
        resampled=resampled,
        standard_error=float(standard_error),
    )
