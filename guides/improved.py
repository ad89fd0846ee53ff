"""Improved guides: draw several trajectories, weight them by the model, and keep one.

Sources:
    [burda2016] Y. Burda, R. Grosse and R. Salakhutdinov, Importance weighted autoencoders. International Conference on
        Learning Representations, 2016. arXiv:1509.00519
    [cremer2017] C. Cremer, Q. Morris and D. Duvenaud, Reinterpreting importance-weighted autoencoders. International
        Conference on Learning Representations, workshop, 2017. arXiv:1704.02916
    [le2018] T. A. Le et al., Auto-encoding sequential Monte Carlo. International Conference on Learning
        Representations, 2018. arXiv:1705.10306
    [maddison2017] C. J. Maddison et al., Filtering variational objectives. Advances in Neural Information Processing
        Systems 30, 2017. arXiv:1705.09279
    [naesseth2018] C. A. Naesseth et al., Variational sequential Monte Carlo. International Conference on Artificial
        Intelligence and Statistics, Proceedings of Machine Learning Research 84, 2018. arXiv:1705.11140
    [piche2019] A. Piché et al., Probabilistic planning with sequential Monte Carlo methods. International Conference on
        Learning Representations, 2019.
"""

import abc
from typing import Any, NoReturn, final

import pyro
import torch
from jaxtyping import Float, Int
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pgm_control.errors import InvalidGuide
from pgm_control.inference.sampling.estimate import Estimate, require_draws
from pgm_control.inference.sampling.iwae import require_particles
from pgm_control.inference.sampling.log_weights import returns
from pgm_control.inference.sampling.particles import Runs, log_twist, run_smc, share
from pgm_control.inference.sampling.smc import proposal_of, weighted_marginals
from pgm_control.runtime.arguments import whole
from pgm_control.runtime.moving import moved, place_of
from pgm_control.runtime.randomness import generator_of
from pgm_control.trajectories.blocks import MarkovModel
from pgm_control.trajectories.samples import Occupancy, Trajectories

_AT_ONCE = 2**18  # the most particles in memory


class ImprovedGuide(abc.ABC):
    r"""Draw K trajectories from a guide, weight them by the model, and keep one in proportion to its weight.

    The result can be sampled, directly or as a Pyro program at the model's sites, and is closer to the posterior than
    the guide. Its density is a sum over all possible draws and is not computed, so it has no ELBO: a request for its
    log-probability, which every Pyro ELBO makes, is an error (an `InvalidGuide`, or the ValueError into which Pyro
    turns it), never a wrong number. `bound` is a lower bound of its ELBO. Its policy given a history is not known
    either, so it has no true return.

    The guide is neither copied nor fitted: fit it first.
    """

    def __init__(self, model: MarkovModel, guide: object, num_particles: int) -> None:
        """Improve a guide.

        Args:
            model: the model that weights the trajectories.
            guide: a guide with `blocks()` or with a memory (`process()`), or a Pyro function (see `tabulate`).
            num_particles: K, at least 1; K = 1 is the guide itself.

        Raises:
            InvalidArgument: if the temperature is 0.
            InvalidGuide: if the guide cannot be sampled one step at a time.
        """
        proposal_of(model, guide)
        self.model = model
        self.guide = guide
        self.num_particles = require_particles(num_particles)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "ImprovedGuide":
        """Move the model and the guide that is improved to another device or floating dtype, and return this guide.

        A guide that is a torch module is moved in place, by its own `to`.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        place = place_of(self.model.mdp.initial, device, dtype)
        if isinstance(self.guide, torch.nn.Module):
            self.guide.to(device=place.device, dtype=place.dtype)
        for name, value in list(vars(self).items()):
            setattr(self, name, moved(value, place))
        return self

    @abc.abstractmethod
    def _run(self, runs: int, generator: torch.Generator | None) -> Runs:
        """Draw independent sets of weighted trajectories."""

    def __call__(self) -> None:
        """Sample one trajectory as a Pyro program, at the model's sites, which have no log-probability.

        Raises:
            InvalidGuide: if every particle reached a forbidden outcome.
        """
        states, actions, outcomes = self.sample(1)
        pyro.sample("state_0", _Drawn(states[0, 0]))
        for t in range(self.model.mdp.horizon):
            pyro.sample(f"action_{t}", _Drawn(actions[0, t]))
            pyro.sample(f"outcome_{t}", _Drawn(outcomes[0, t]))
            pyro.sample(f"state_{t + 1}", _Drawn(states[0, t + 1]))

    def __repr__(self) -> str:
        """The class of the guide that is improved, and the number of particles."""
        return f"{type(self).__name__}({type(self.guide).__name__}, {self.num_particles} particles)"

    def sample(self, num_samples: int, seed: int | torch.Generator | None = None) -> Trajectories:
        """Draw independent trajectories, each from its own K particles.

        Args:
            num_samples: the number of trajectories, at least 1.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
            InvalidGuide: if every particle of a set reached a forbidden outcome.
        """
        num_samples = whole("num_samples", num_samples)
        parts, generator = [], self._generator(seed)
        for found in self._batches(num_samples, generator):
            share = self._shares(found)
            one = torch.multinomial(share, 1, generator=generator)
            parts.append([each.gather(1, one[..., None].expand(-1, 1, each.shape[-1]))[:, 0] for each in found[2:5]])
        return Trajectories(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def bound(self, num_samples: int = 1000, seed: int | torch.Generator | None = None) -> Estimate:
        r"""An unbiased estimate of the lower bound $E[\log \hat Z]$, in nats.

        The ELBO of this guide lies between the bound and log p(O). The bound is −inf if all K particles may be
        forbidden at the same time.

        Args:
            num_samples: the number of sets of K particles, at least 2.
            seed: an integer, a generator, or None for torch's global generator.
        """
        count = require_draws("num_samples", num_samples)
        return Estimate.of(torch.cat([found.log_evidence for found in self._batches(count, self._generator(seed))]))

    def imagined_return(self, num_samples: int = 1000, seed: int | torch.Generator | None = None) -> Estimate:
        """An estimate of the expected return of its trajectories, in reward units, from all weighted particles.

        Args:
            num_samples: the number of sets of K particles, at least 2.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidGuide: as for `sample`.
        """
        values = []
        for found in self._batches(require_draws("num_samples", num_samples), self._generator(seed)):
            share = self._shares(found)
            earned = returns(self.model.mdp, _flat(found)).view_as(share)
            values.append((share * torch.where(share > 0, earned, 0.0)).sum(-1))
        return Estimate.of(torch.cat(values))

    def marginals(self, num_samples: int = 1000, seed: int | torch.Generator | None = None) -> Occupancy:
        """Unbiased estimates of its marginals, from all weighted particles.

        Args:
            num_samples: the number of sets of K particles, at least 2.
            seed: an integer, a generator, or None for torch's global generator.

        Raises:
            InvalidGuide: as for `sample`.
        """
        parts = [
            weighted_marginals(self.model.mdp, _flat(found), self._shares(found).flatten() / num_samples)
            for found in self._batches(require_draws("num_samples", num_samples), self._generator(seed))
        ]
        return Occupancy(*(torch.stack(each).sum(0) for each in zip(*parts, strict=True)))

    def _generator(self, seed: int | torch.Generator | None) -> torch.Generator | None:
        return generator_of(seed, self.model.mdp.initial.device)

    def _batches(self, runs: int, generator: torch.Generator | None) -> list[Runs]:
        size = max(1, _AT_ONCE // self.num_particles)
        return [self._run(min(size, runs - done), generator) for done in range(0, runs, size)]

    def _shares(self, found: Runs) -> Float[Tensor, "batch particle"]:
        if torch.isneginf(found.log_evidence).any():
            raise InvalidGuide(
                f"All {self.num_particles} particles reached a forbidden outcome, so none can be kept. Raise "
                "`num_particles`, or improve a guide that avoids it, such as a fitted one."
            )
        return torch.softmax(found.log_weights, -1)


@final
class ImportanceGuide(ImprovedGuide):
    r"""Sampling–importance–resampling: draws K complete trajectories and keeps one in proportion to its weight.

    Its `bound` is the importance-weighted bound of K particles [burda2016], and its ELBO is at least that bound
    [cremer2017]. As K grows it converges to the exact posterior, if the support of the guide covers it.

    References:
        [burda2016], [cremer2017]
    """

    def _run(self, runs: int, generator: torch.Generator | None) -> Runs:
        return run_smc(self.model, proposal_of(self.model, self.guide), self.num_particles, runs, 0.0, generator, None)


@final
class SMCGuide(ImprovedGuide):
    r"""Sequential Monte Carlo: resamples K trajectories between steps and keeps one in proportion to its weight.

    Its `bound` is $E[\log \hat Z]$ of `smc`, and its ELBO is at least that bound [naesseth2018], [maddison2017].

    References:
        [naesseth2018], [maddison2017], [le2018], [piche2019]
    """

    def __init__(
        self,
        model: MarkovModel,
        guide: object,
        num_particles: int,
        *,
        threshold: float = 0.5,
        lookahead: Float[Tensor, "time_and_last state"] | None = None,
    ) -> None:
        """Improve a guide.

        Args:
            model, guide, num_particles: as in `ImportanceGuide`.
            threshold, lookahead: as in `smc`.
        """
        super().__init__(model, guide, num_particles)
        self.threshold = share("threshold", threshold)
        self.lookahead = lookahead
        log_twist(model, lookahead)  # its checks

    def _run(self, runs: int, generator: torch.Generator | None) -> Runs:
        proposal = proposal_of(self.model, self.guide)
        return run_smc(self.model, proposal, self.num_particles, runs, self.threshold, generator, self.lookahead)


def _flat(found: Runs) -> Trajectories:
    return Trajectories(*(each.flatten(0, 1) for each in found[2:5]))


class _Drawn(TorchDistribution):
    """A value that was drawn elsewhere, with a density that is not computed."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012  # pyright: ignore  torch's own convention
    support = constraints.nonnegative_integer  # pyright: ignore  as above

    def __init__(self, value: Int[Tensor, ""]) -> None:
        super().__init__(validate_args=False)
        self.value = value

    def sample(self, sample_shape: Any = ()) -> Tensor:
        if sample_shape:
            self._refuse("be drawn in a plate, where all draws would be one")
        return self.value

    def expand(self, batch_shape: Any, _instance: Any = None) -> NoReturn:
        self._refuse("be drawn in a plate, where all draws would be one")

    def log_prob(self, value: Tensor) -> NoReturn:
        self._refuse("give its log-probability, which is a sum over all particles that might have been drawn")

    def _refuse(self, what: str) -> NoReturn:
        raise InvalidGuide(
            f"An improved guide cannot {what}; so it has no ELBO and cannot be fitted. Fit the guide that it improves, "
            "and take its `bound()`, `sample(num_samples)`, `marginals()` and `imagined_return()`."
        )
