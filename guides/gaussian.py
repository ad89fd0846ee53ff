"""The abstract Gaussian guide: time-indexed linear-Gaussian blocks in place of those of its model."""

import abc
import re
from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from jaxtyping import Float
from pyro.nn import PyroModule
from torch import Tensor

from pgm_control.chance.optimism import Optimism, OptimismLike
from pgm_control.errors import InvalidArgument, InvalidGuide, InvalidProblem
from pgm_control.inference.exact.gaussian.open_loop import open_loop_optimum
from pgm_control.inference.exact.gaussian.solve import infer_gaussian
from pgm_control.inference.exact.grid.infer_planar import HasPlane
from pgm_control.inference.local.around import around
from pgm_control.inference.local.bridge import bridge_around
from pgm_control.inference.local.expectations import Points
from pgm_control.inference.local.vector_model import VectorModel, dtype_of, vector_model_of
from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.programs.changed import run_changed
from pgm_control.programs.own_parameters import keeps_parameters
from pgm_control.runtime.arguments import fraction, shown
from pgm_control.trajectories.gaussian.blocks import GaussianBlocks
from pgm_control.trajectories.gaussian.model import GaussianModel, is_gaussian, one_problem
from pgm_control.trajectories.gaussian.prior import prior_blocks

from .gaussian_bridge import GaussianBridge
from .gaussian_factor import GaussianFactor
from .markov import AbstractPyroModule

_SITE = re.compile(r"(state|action)_(\d+)")
_POINTS, _SEED = 256, 0  # quasi-random points at which a model over vectors is compared with an affine one


class GaussianGuide(PyroModule, abc.ABC, metaclass=AbstractPyroModule):
    r"""A distribution over trajectories whose policy, and any other block that it may change, is affine and Gaussian.

    $$q = N(s_0; m, S_0) \prod_t N(a_t; -K_t s_t - \kappa_t, \Sigma_t)\, N(s_{t+1}; F_t (s_t, a_t) + d_t, W_t)$$

    The guide runs its model and draws a site from its own block instead where it has one: what it may not change is the
    model's, whatever that is. It is for a `LinearQuadraticModel` and for a model over vectors such as
    `ContinuousModel`, whose start, action prior and dynamics need not be Gaussian if the guide keeps them.

    The guide starts at the prior of the model: of a model over vectors at the affine-Gaussian approximation of it, and
    with unit covariance if the action prior is Lebesgue measure.

    Attributes:
        model: the model.
        optimism: β of each block; a block with β = 0 is the model's.
        policy_factor, start_factor, dynamics_factor: the blocks; None for one that the guide may not change.
    """

    def __init__(
        self, model: GaussianModel | VectorModel | HasPlane, optimism: OptimismLike, sees_state: bool = True
    ) -> None:
        """Start at the prior.

        Raises:
            InvalidArgument: if the model is of another kind, or parts of `optimism` do not fit.
            InvalidProblem: if the action prior, or another distribution that the guide may change, has bounds.
        """
        super().__init__()
        if is_gaussian(model):
            base, self._is_affine = prior_blocks(model), True
        elif (vectors := vector_model_of(model)) is not None:
            betas = Optimism.of(optimism).at(model.temperature).numbers("a Gaussian guide")
            base, self._is_affine = _affine_prior(vectors, (betas[1] != 0, betas[0] != 0))
        else:
            raise InvalidArgument(
                "`model` must be a LinearQuadraticModel, or a model over vectors such as ContinuousModel or "
                f"PlanarModel, not of an ensemble, for {type(self).__name__}, but is {shown(model)}."
            )
        self.model: Any = model
        self.optimism = Optimism.of(optimism)
        dynamics, initial, _ = self.optimism.at(model.temperature).numbers("a Gaussian guide")
        self._base, self._betas = base, (dynamics, initial)
        if sees_state:
            policy = -base.gain, -base.offset
        else:
            policy = torch.zeros_like(base.gain), base.marginals().action_mean
        self.policy_factor = GaussianFactor(*policy, base.policy_covariance, has_slope=sees_state)
        self.start_factor = self.dynamics_factor = None
        if initial != 0 and bool((base.initial_covariance != 0).any()):
            none = base.initial_mean.new_zeros(1, len(base.initial_mean), 0)
            covariance = base.initial_covariance[None]
            self.start_factor = GaussianFactor(none, base.initial_mean[None], covariance, initial)
        if dynamics != 0 and bool((base.noise != 0).any()):
            if not self._is_affine and bool(torch.linalg.cholesky_ex(base.noise).info.any()):
                raise InvalidArgument(
                    "`model` must have noise in every direction, or affine dynamics, for a Gaussian guide that changes "
                    "the dynamics: where the next state is a curved function of state and action, no Gaussian "
                    "with an affine mean has a density. Use ClampedGaussianGuide."
                )
            self.dynamics_factor = GaussianFactor(base.transition, base.drift, base.noise, dynamics)
        self._ready: dict[str, Any] | None = None

    @property
    def free_blocks(self) -> tuple[str, ...]:
        """The blocks of chance that the guide may change, out of "initial" and "dynamics"."""
        has = {"initial": self.start_factor, "dynamics": self.dynamics_factor}
        return tuple(name for name, each in has.items() if each is not None)

    @property
    def sees_state(self) -> bool:
        """Whether the actions may depend on the state."""
        return self.policy_factor.slope is not None

    def factors(self) -> GaussianBlocks:
        """The blocks of the guide, with those of the affine approximation of the prior where it has none."""
        base, found = self._base, dict[str, Tensor]()
        if self.start_factor is not None:
            found["initial_mean"] = self.start_factor.mean()[1][0]
            found["initial_covariance"] = self.start_factor.covariance()[0]
        matrix, vector = self.policy_factor.mean()
        found |= {"gain": -matrix, "offset": -vector, "policy_covariance": self.policy_factor.covariance()}
        if self.dynamics_factor is not None:
            found["transition"], found["drift"] = self.dynamics_factor.mean()
            found["noise"] = self.dynamics_factor.covariance()
        return base.replace(**found)

    def blocks(self) -> GaussianBlocks:
        """The factors, computed from the current parameters, differentiable.

        Raises:
            InvalidGuide: if the guide keeps dynamics or a start of its model that are not affine and Gaussian.
        """
        keeps_start = self.start_factor is None and bool((self._base.initial_covariance != 0).any())
        if not self._is_affine and (self.dynamics_factor is None or keeps_start):
            raise InvalidGuide(
                f"`guide` must have affine-Gaussian factors for `blocks()`, but keeps the dynamics or the start of "
                f"{self.model!r}, which are not. estimate(model, guide) draws from it."
            )
        return self.factors()

    def assign(self, blocks: GaussianBlocks) -> None:
        """Set the blocks that this guide may change to these blocks; the rest is ignored.

        Raises:
            InvalidGuide: if a block does not fit the model, or this guide cannot represent it.
        """
        if not isinstance(blocks, GaussianBlocks):
            raise InvalidGuide(
                f"`blocks` must be GaussianBlocks, such as those of infer(model, 0.0), but is {shown(blocks)}."
            )
        before = {name: value.clone() for name, value in self.state_dict().items()}
        try:
            self.policy_factor.assign("policy", -blocks.gain, -blocks.offset, blocks.policy_covariance)
            if self.start_factor is not None:
                none = self.start_factor.matrix
                self.start_factor.assign("start", none, blocks.initial_mean[None], blocks.initial_covariance[None])
            if self.dynamics_factor is not None:
                self.dynamics_factor.assign("dynamics", blocks.transition, blocks.drift, blocks.noise)
        except InvalidGuide:
            self.load_state_dict(before)
            raise

    def optimum(self) -> GaussianBlocks:
        """The blocks with the largest objective among those that this guide can represent.

        Raises:
            InvalidArgument: unless the model is a `LinearQuadraticModel`.
            OptimismBreakdown: if the objective is unbounded.
        """
        if not is_gaussian(self.model):
            raise InvalidArgument(
                f"`model` must be a LinearQuadraticModel for an exact optimum, but is {self.model!r}. Take "
                'fit(model, guide, method="natural_gradient").'
            )
        one_problem(self.model, "a guide")
        if not self.sees_state:
            return open_loop_optimum(self.model)
        return infer_gaussian(self.model, self.optimism).blocks().detach()

    def lookahead(self) -> Callable[[int, Tensor], Tensor]:
        r"""$\log E[\exp \sum_{u \ge t} r_u/\tau \mid s_t]$ in nats, as a function of t and states, for `smc`.

        Of a `LinearQuadraticModel` it is exact. Of any other it belongs, up to a constant, to the quadratic rewards at
        the marginals of the guide, and is that of `bridge()`.
        """
        if not is_gaussian(self.model):
            return self.bridge().lookahead()
        tau, found = float(self.model.temperature), infer_gaussian(self.model, 1.0)
        return lambda t, state: found.v(t, state.detach()) / tau

    def bridge(self, share: float = 0.05) -> "GaussianGuide | GaussianBridge":
        """A wider proposal for `smc`, with a lookahead; of a `LinearQuadraticModel` the guide itself.

        A guide that is fitted to the ELBO is narrower than the posterior: sequential Monte Carlo with it as the
        proposal misses trajectories, and its error does not show it. The bridge is the exact posterior of a model with
        a share of the rewards, quadratic as they are on average at the marginals of the guide, and its values are the
        lookahead. It leads to where the rewards are, and leaves the rest to the weights.

        Args:
            share: of the rewards, in (0, 1]. With 1 the bridge is about as narrow as the best guide.

        Raises:
            InvalidArgument: unless `share` is in (0, 1].
        """
        share = fraction("share", share)
        if is_gaussian(self.model):
            return self
        vectors = vector_model_of(self.model)
        assert vectors is not None
        blocks, log_value = bridge_around(vectors, self.factors(), self.free_blocks, share)
        return GaussianBridge(self.model, blocks, self.free_blocks, log_value)

    def change(self, site: str, distribution: Any, values: Mapping[str, Tensor]) -> Any:
        """The distribution that the guide draws a site from, or None for the model's own."""
        match = _SITE.fullmatch(site)
        if match is None:
            return None
        t, is_action, dtype = int(match[2]), match[1] == "action", dtype_of(distribution)
        if is_action:
            return self._of("policy_factor", t, values[f"state_{t}"], dtype)
        if t == 0:
            return self._of("start_factor", 0, None, dtype)
        given = values[f"state_{t - 1}"], values[f"action_{t - 1}"]
        return self._of("dynamics_factor", t - 1, given, dtype)

    def policy(self, t: int, state: Float[Tensor, "*batch state"]) -> Any:
        """π_t(a|s), a distribution with the batch shape of the states."""
        return self.policy_factor.distribution(t, state, self.policy_factor.parts(), state.dtype)

    @keeps_parameters
    def forward(self) -> None:
        """Sample one trajectory at the model's sites, as a Pyro program."""
        announce_parameters(self)
        with pyro.settings.context(module_local_params=True):
            factors = {name: getattr(self, name) for name in ("policy_factor", "start_factor", "dynamics_factor")}
            self._ready = {name: each.parts() for name, each in factors.items() if each is not None}
            try:
                run_changed(self.model, self.change)
            finally:
                self._ready = None

    def _of(self, name: str, t: int, given: Any, dtype: torch.dtype) -> Any:
        factor = getattr(self, name)
        if factor is None:
            return None
        if isinstance(given, tuple):
            state, action = given
            batch = torch.broadcast_shapes(state.shape[:-1], action.shape[:-1])
            given = torch.cat([each.expand(*batch, each.shape[-1]) for each in (state, action)], -1)
        return factor.distribution(t, given, factor.parts() if self._ready is None else self._ready[name], dtype)


def _affine_prior(model: VectorModel, free: tuple[bool, bool]) -> tuple[GaussianBlocks, bool]:
    """The affine-Gaussian approximation of a model over vectors at its own marginals, and whether it is exact."""
    try:
        state = model.start().mean
        sizes = 2 * len(state) + model.action_prior(0, state).event_shape[0]
    except (NotImplementedError, AttributeError) as problem:
        raise InvalidProblem(
            "`start` must be a distribution with a known mean, such as dist.Normal(…).to_event(1), for a Gaussian "
            "guide."
        ) from problem
    found = around(model, None, free, Points.quasi_random(_POINTS, sizes, _SEED))
    return found.blocks.replace(noise=torch.stack([each.noise for each in found.moves])), found.is_exact
