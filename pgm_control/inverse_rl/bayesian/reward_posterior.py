"""The posterior over the reward, and over the optimism and temperature of the demonstrator, given demonstrations.

Sources:
    [delmoral2006] P. Del Moral, A. Doucet and A. Jasra, Sequential Monte Carlo samplers. Journal of the Royal
        Statistical Society B 68(3):411–436, 2006. doi:10.1111/j.1467-9868.2006.00553.x
    [hoffman2014] M. D. Hoffman and A. Gelman, The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian
        Monte Carlo. Journal of Machine Learning Research 15:1593–1623, 2014. arXiv:1111.4246
    [ramachandran2007] D. Ramachandran and E. Amir, Bayesian inverse reinforcement learning. International Joint
        Conference on Artificial Intelligence, pages 2586–2591, 2007.
"""

import html
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from jaxtyping import Bool, Float
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from torch import Tensor

from ...errors import InvalidArgument, MissingExtra
from ...runtime.alone.thread import alone
from ...runtime.arguments import one_of, whole
from ...runtime.files import path_of
from ...runtime.memory import require_room
from ...runtime.progress import Progress, silent
from ...runtime.randomness import seeded
from ...text.tables import grid, html_grid
from ...text.wording import listed
from ...trajectories.blocks import MarkovModel
from ..demonstrations import Demonstrations
from ..demonstrators import Demonstrator
from ..identification import Identification, identified
from ..laplace import laplace
from .checkpoint import resumable
from .coordinates import Coordinates
from .nuts import draws_by_nuts
from .peaks import Peak, peaks
from .reward_program import RewardProgram, program_of
from .tempering import effective_draws

if TYPE_CHECKING:
    from xarray import DataTree

_HEAD = (
    ("", "mean", "standard", "90 % interval", "prior standard", "effective draws", "r̂"),
    ("", "", "deviation", "", "deviation", "", ""),
)
_SIGNS = {"optimism": "β", "temperature": "τ"}
_CROWD = 50  # smallest population for tempering
_FEW = 50  # draws: the standard deviation is then known to a tenth
_FITS = 0.5  # fraction of effective draws above which the Laplace approximation is accepted
_AS_BEFORE = 0.9  # of the prior's standard deviation: a wider posterior has learned nothing


@final
@dataclass(frozen=True, eq=False, repr=False)
class RewardPosterior:
    """Draws from the posterior over ψ, and over β and τ if they were unknown. Printing it prints a table.

    Attributes:
        program: prior and likelihood, as a Pyro program.
        samples: the draws of each site by chain.
        method: "laplace", "tempering" or "nuts".
        log_evidence: log p(demonstrations), of actions and outcomes given the first states, in nats; nan for NUTS,
            which does not compute it.
        effective_draws: the effective number of independent draws of each parameter, in the order of `names`. For
            Laplace it follows from the importance weights of the draws: if it is near their number, the Gaussian fits.
        r_hat: for NUTS, how much the chains differ in each parameter: 1 if not at all; do not trust values above 1.01.
        num_divergences: for NUTS, the number of diverging paths; more than a few mean that a region was missed.
        seconds: the time that it took.
    """

    program: RewardProgram
    samples: Mapping[str, Float[Tensor, "chain draw *site"]]
    method: str
    log_evidence: float
    effective_draws: Float[Tensor, " parameter"]
    r_hat: Float[Tensor, " parameter"] | None
    num_divergences: int | None
    seconds: float

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters: those of the reward, then β and τ if they are unknown."""
        psi = self.program.function.names if "psi" in self.samples else ()
        return (*psi, *(sign for site, sign in _SIGNS.items() if site in self.samples))

    @property
    def draws(self) -> Float[Tensor, "draw parameter"]:
        """Draws of all parameters, with the chains one after the other."""
        return torch.cat([each.reshape(math.prod(each.shape[:2]), -1) for each in self.samples.values()], -1)

    @property
    def psi(self) -> Float[Tensor, "draw parameter"]:
        """Draws of the parameters of the reward."""
        return self.samples["psi"].flatten(0, 1)

    @property
    def optimism(self) -> Float[Tensor, " draw"]:
        """The posterior draws of the demonstrator's optimism β."""
        return self.samples["optimism"].flatten()

    @property
    def temperature(self) -> Float[Tensor, " draw"]:
        """Draws of τ, in reward units per nat."""
        return self.samples["temperature"].flatten()

    @property
    def mean(self) -> Float[Tensor, " parameter"]:
        """The posterior mean of each parameter."""
        return self.draws.mean(0)

    @property
    def deviation(self) -> Float[Tensor, " parameter"]:
        """The posterior standard deviation of each parameter."""
        return self.draws.std(0)

    def interval(self, level: float = 0.9) -> Float[Tensor, "parameter low_high"]:
        """Return the central interval that contains each parameter with this probability."""
        if not 0 < level < 1:
            raise InvalidArgument(f"`level` must be a probability between 0 and 1, but is {level!r}.")
        ends = self.draws.new_tensor([(1 - level) / 2, (1 + level) / 2])
        return self.draws.quantile(ends, 0).T

    def probability(self, event: Callable[["RewardPosterior"], Bool[Tensor, " draw"]]) -> float:
        """Return the posterior probability of an event, such as `lambda x: x.optimism > 0`."""
        return float(event(self).to(self.draws).mean())

    def to_arviz(self) -> "DataTree":
        """Return the draws for ArviZ.

        Raises:
            MissingExtra: without arviz-base, with the command that installs it.
        """
        try:
            import arviz_base  # an extra, and slow to import
        except ImportError as problem:
            raise MissingExtra(
                "Draws for ArviZ need arviz-base, which is missing: pip install arviz-base xarray"
            ) from problem
        groups = {"posterior": {name: each.cpu().numpy() for name, each in self.samples.items()}}
        return arviz_base.from_dict(
            groups,
            dims={"psi": ["parameter"]},
            coords={"parameter": list(self.program.function.names)},
            check_conventions=False,
            attrs={"/": {"made_by": "pgm_control", "method": self.method}},
        )

    @cached_property
    def identification(self) -> Identification:
        """What the demonstrations do not identify, at the posterior mean."""
        program, mean = self.program, self.mean
        psi = mean[: len(program.function.start)] if "psi" in self.samples else program.function.start
        demonstrator, model = program.demonstrator, program.model
        if "optimism" in self.samples:
            demonstrator = replace(demonstrator, optimism=float(self.optimism.mean()))  # pyright: ignore[reportArgumentType]  a dial
        tau = float(self.temperature.mean()) if "temperature" in self.samples else model.temperature
        return identified(model, program.demonstrations, program.function, psi, demonstrator, tau)

    @cached_property
    def peaks(self) -> tuple[Peak, ...]:
        """The peaks of the posterior density that searches from a few draws find, the highest first."""
        coordinates = Coordinates(self.program)
        draws = coordinates.row({name: each.flatten(0, 1) for name, each in self.samples.items()})
        return peaks(coordinates, draws, among_prior=self.method == "laplace")

    @cached_property
    def _of_prior(self) -> list[float]:
        """The prior standard deviation of each parameter."""
        return [float(x) for each in self.program.priors.values() for x in each.stddev.reshape(-1)]

    def _rows(self) -> list[tuple[str, ...]]:
        numbers = zip(self.names, self.mean, self.deviation, self.interval(), self._of_prior, strict=True)
        r_hat = [""] * len(self.names) if self.r_hat is None else [f"{x:.3f}" for x in self.r_hat]
        return [
            (name, f"{mean:.4g}", f"{sd:.3g}", f"{low:.3g} … {high:.3g}", f"{before:.3g}", f"{worth:.0f}", r)
            for (name, mean, sd, (low, high), before), worth, r in zip(
                numbers, self.effective_draws, r_hat, strict=True
            )
        ]

    def _notes(self) -> list[str]:
        notes = []
        fewest = float(self.effective_draws.min())
        if self.method == "laplace" and fewest < _FITS * len(self.draws):
            notes.append("The Gaussian fits badly: intervals are too narrow, or a peak is missed. Use tempering.")
        elif fewest < _FEW:
            notes.append(f"These results are worth only {fewest:.0f} independent draws. Raise `num_samples`.")
        if "optimism" in self.samples:
            optimistic = self.probability(lambda x: x.optimism > 0)
            notes.append(f"The demonstrator is optimistic (β > 0) with probability {optimistic:.3f}.")
        if self.method != "nuts":
            notes.append(f"Log-evidence {self.log_evidence:.3f} nats.")
        notes.append("One peak was found." if len(self.peaks) == 1 else f"{len(self.peaks)} peaks were found:")
        for each in self.peaks if len(self.peaks) > 1 else ():
            at = listed([f"{name} = {x:.4g}" for name, x in zip(self.names, each.parameters, strict=True)])
            notes.append(f"Peak with {each.share:.0%} of the draws, log-density {each.log_density:.3f} nats: {at}.")
        widths = zip(self.names, self.deviation, self._of_prior, strict=True)
        as_before = [name for name, deviation, before in widths if deviation > _AS_BEFORE * before]
        if as_before:
            notes.append(f"Not learned, as wide as the prior: {listed(as_before)}.")
        return [*notes, *str(self.identification).splitlines()]

    def __str__(self) -> str:
        """A table for a terminal, and notes on its precision and on identifiability."""
        return "\n".join([grid(_HEAD, self._rows()), *self._notes()])

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        notes = "<br>".join(html.escape(note) for note in self._notes())
        return f"{html_grid(_HEAD, self._rows())}<p>{notes}</p>"

    def __repr__(self) -> str:
        """The posterior as a table for a terminal."""
        return str(self)


def reward_posterior(
    model: MarkovModel,
    demonstrations: Demonstrations,
    reward: Any = "state",
    demonstrator: Demonstrator | str = "clamped",
    *,
    prior: float,
    optimism: Any = None,
    temperature: Any = None,
    method: str = "tempering",
    num_samples: int = 500,
    num_warmup: int = 200,
    num_chains: int = 4,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
) -> RewardPosterior:
    r"""Return the posterior over the parameters of a reward, and over the optimism and temperature of the demonstrator.

    $$p(\psi, \beta, \tau \mid \text{demonstrations}) \propto
    p(\text{demonstrations} \mid \psi, \beta, \tau)\, p(\psi)\, p(\beta)\, p(\tau)$$

    `posterior.probability(lambda x: x.optimism > 0)` is the probability that the demonstrator is optimistic. Directions
    that the demonstrations do not identify keep the width of the prior; `identification` lists them.

    Args:
        model: the problem with its temperature and action prior; its rewards are ignored.
        demonstrations: demonstrations of the same problem.
        reward: as for `inverse`; its parameters are the start of the search for "laplace" and are not changed.
        demonstrator: as for `inverse`.
        prior: σ, standard deviation of a Gaussian of mean 0 on every parameter, in reward units.
        optimism: a distribution of Pyro for β, if it is unknown; the demonstrator is then a `DialDemonstrator`.
        temperature: a distribution of Pyro for τ, if it is unknown; with a linear reward only the ratio of reward and τ
            is identified.
        method: "tempering" moves a population from the prior to the posterior: exact for many draws, for any number of
            peaks. "nuts", Hamiltonian Monte Carlo: exact for many draws if there is one peak. "laplace", a Gaussian at
            the peak found by a search, in unconstrained coordinates (log τ): fast, exact in the limit of many
            demonstrations, otherwise too narrow; inaccurate at the kinks of "boltzmann".
        num_samples: the total number of draws.
        num_warmup: the number of warmup steps of NUTS in each chain.
        num_chains: the number of chains of NUTS, run one after the other, each from a draw of the prior.
        seed: an integer, a generator, or None for torch's global generator.
        progress: called with the step and its acceptance probability; "laplace" does not call it.
        checkpoint: for "tempering": a path, written after every step.
        resume: for "tempering": the path of a checkpoint, to continue as if the run had never stopped. All arguments
            must be the same, but for `seed`, which is left out.

    Raises:
        InvalidArgument: if an argument is invalid, which the message names, or if Laplace finds no peak.
        InvalidCheckpoint: if `resume` cannot be read, or belongs to another posterior.

    References:
        [ramachandran2007], [delmoral2006], [hoffman2014]
    """
    program = program_of(model, demonstrations, reward, demonstrator, prior, optimism, temperature)
    one_of("method", method, ("laplace", "tempering", "nuts"))
    num_samples = whole("num_samples", num_samples, _CROWD if method == "tempering" else 4)
    size = 1 + len(program.function.start)
    require_room("num_samples", "the draws of the parameters", num_samples * size, 8, "Draw fewer.")
    num_warmup, num_chains = whole("num_warmup", num_warmup), whole("num_chains", num_chains)
    _check(method, checkpoint, seed, resume)
    coordinates, since = Coordinates(program), time.perf_counter()
    if method == "nuts":
        with alone("reward_posterior"), seeded(seed):
            drawn, divergences = draws_by_nuts(
                coordinates, -(-num_samples // num_chains), num_warmup, num_chains, progress
            )
        rows = torch.cat([each.reshape(*each.shape[:2], -1) for each in drawn.values()], -1)
        worth = effective_sample_size(rows, chain_dim=0, sample_dim=1)
        log_evidence, r_hat = math.nan, split_gelman_rubin(rows, chain_dim=0, sample_dim=1)
    else:
        r_hat, divergences = None, None
        with seeded(seed):
            if method == "laplace":
                found = laplace(coordinates.log_density, coordinates.start)
                log_evidence, (u, log_weight) = found.log_evidence, found.draw(num_samples)
                worth = log_weight.softmax(0).square().sum().reciprocal().expand(u.shape[-1])
            else:
                found, before = resumable(coordinates, num_samples, progress, checkpoint, resume)
                u, log_evidence, since = found.u, found.log_evidence, since - before
                worth = effective_draws(u, found.family)
        drawn = {name: each[None] for name, each in coordinates.values(u).items()}
    return RewardPosterior(program, drawn, method, log_evidence, worth, r_hat, divergences, time.perf_counter() - since)


def _check(method: str, checkpoint: Any, seed: Any, resume: Any) -> None:
    for name, path in (("checkpoint", checkpoint), ("resume", resume)):
        if path is not None and method != "tempering":
            raise InvalidArgument(f'`{name}` must be None for {method!r}, which cannot be resumed. Use "tempering".')
    if checkpoint is not None:
        path_of(checkpoint, "checkpoint")
    if seed is not None and resume is not None:
        raise InvalidArgument("`seed` and `resume` exclude each other: a resumed run continues its own randomness.")
