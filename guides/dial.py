"""The dial guide: learned start distribution, policy and dynamics; a nat of change of the dynamics costs 1/β.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

from collections.abc import Iterator
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.chance.factors import Factors, conditionals, joint
from pgm_control.chance.log_tables import tilted
from pgm_control.chance.optimism import Optimism, OptimismLike
from pgm_control.inference.exact.infer import infer
from pgm_control.trajectories.betas import Betas
from pgm_control.trajectories.blocks import Blocks, MarkovModel

from .at_price import scaled, worth
from .markov import MarkovGuide, logits_of
from .support import feasible_prior


@final
class DialGuide(MarkovGuide):
    r"""Learn the policy, and learn start distribution and dynamics at a price.

    $$q = q(s_0) \prod_t \pi_t(a_t \mid s_t)\, q_t(k_t \mid s_t, a_t)$$

    It maximises $J_\beta$ (see `infer`), in which a block costs $1/\beta$ times its KL from the model: β = 1 pays this
    change at par, as `FreeGuide`; β → 0 forbids it, as `ClampedGuide`. A negative β makes the block adversarial: the
    solution is then a saddle point, and the sign of the gradient of that block's logits is reversed, so that any
    optimiser of `fit` finds it. The optimum is `infer(model, optimism)`.

    Parameters: `policy_logits` (T, S, A), in nats relative to the action prior; and for each block that is not clamped
    `initial_logits`, `dynamics_logits` (one table per factor, (T, S, A, K_1, …, K_i)), `survival_logits` (T, S). These
    logits are the value of an outcome, in nats: the dynamics are p exp(β · logits), normalised. In this unit all β are
    equally easy to fit.

    References:
        [howard1972], [levine2018]
    """

    def __init__(self, model: MarkovModel, optimism: OptimismLike) -> None:
        """Initialise at the prior of the model.

        Args:
            model: the model.
            optimism: β of the start and the dynamics; a `Risk`, which stands for β = θτ; or an `Optimism` with one of
                these per block or per part of a block.

        Raises:
            InvalidArgument: if parts of `optimism` do not fit the model.
        """
        super().__init__(model)
        self.optimism = Optimism.of(optimism)
        mdp = model.mdp
        betas = Betas.of(mdp, self.optimism, model.temperature)
        self._betas = betas._replace(
            dynamics=betas.dynamics * (len(mdp.factors.sizes) if mdp.factors and len(betas.dynamics) == 1 else 1),
            initial=betas.initial
            * (len(mdp.initial_factors.sizes) if mdp.initial_factors and len(betas.initial) == 1 else 1),
        )
        self._base = base = feasible_prior(model, self.optimism)
        self._dynamics = conditionals(base.log_dynamics, _sizes(mdp.factors, mdp.num_outcomes))
        self._start = conditionals(base.log_initial, _sizes(mdp.initial_factors, mdp.num_states))
        self.policy_logits = torch.nn.Parameter(torch.zeros_like(base.log_policy).contiguous())
        self.dynamics_logits = _tables(_names(mdp.factors, "dynamics"), self._dynamics, self._betas.dynamics)
        self.initial_logits = _tables(_names(mdp.initial_factors, "start"), self._start, self._betas.initial)
        self.survival_logits = None
        if betas.frees_survival:
            self.survival_logits = torch.nn.Parameter(base.log_initial.new_zeros(mdp.horizon, mdp.num_states))

    def blocks(self) -> Blocks:
        """The model's factors, each tilted by its logits."""
        mdp = self.model.mdp
        return Blocks(
            mdp,
            self._tilted(self._start, _names(mdp.initial_factors, "start"), self.initial_logits, self._betas.initial),
            tilted(self.policy_logits, self._base.log_policy),
            self._tilted(self._dynamics, _names(mdp.factors, "dynamics"), self.dynamics_logits, self._betas.dynamics),
            self._survival(),
        )

    @torch.no_grad()
    def assign(self, blocks: Blocks) -> None:
        """Set the blocks that this guide may change to these blocks; the rest is ignored.

        Raises:
            InvalidGuide: if a block allows what the model or a reward of −inf forbids, or does not fit the model.
        """
        mdp, base = self.model.mdp, self._base
        policy = logits_of("log_policy", blocks.log_policy, base.log_policy)
        logits_of("log_dynamics", blocks.log_dynamics, base.log_dynamics)
        logits_of("log_initial", blocks.log_initial, base.log_initial)
        dynamics = conditionals(blocks.log_dynamics, _sizes(mdp.factors, mdp.num_outcomes))
        start = conditionals(blocks.log_initial, _sizes(mdp.initial_factors, mdp.num_states))
        chains = (
            (_names(mdp.factors, "dynamics"), dynamics, self._dynamics, self.dynamics_logits, self._betas.dynamics),
            (_names(mdp.initial_factors, "start"), start, self._start, self.initial_logits, self._betas.initial),
        )
        self.policy_logits.copy_(policy)
        for names, chain, weights, tables, betas in chains:
            for name, log_q, log_p, beta in zip(names, chain, weights, betas, strict=True):
                if name in tables:
                    tables[name].copy_(worth(torch.where(log_p > -torch.inf, log_q - log_p, 0.0), beta))
        if self.survival_logits is not None and blocks.log_survival is not None:
            odds = blocks.log_survival - torch.log1p(-blocks.log_survival.exp())
            self.survival_logits.copy_(worth(odds - self._prior_odds(), self._betas.survival))

    def optimum(self) -> Blocks:
        """The blocks with the largest objective among those that this guide can represent."""
        return infer(self.model, self.optimism).blocks()

    def _tilted(self, chain: list[Tensor], names: tuple[str, ...], tables: Any, betas: list[Any]) -> Tensor:
        def parts() -> Iterator[Tensor]:
            for name, log_p, beta in zip(names, chain, betas, strict=True):
                yield log_p if name not in tables else tilted(scaled(tables[name], beta), log_p)

        return joint(list(parts()))

    def _survival(self) -> Float[Tensor, "time next_state"] | None:
        if self.survival_logits is None:
            return None
        return torch.nn.functional.logsigmoid(scaled(self.survival_logits, self._betas.survival) + self._prior_odds())

    def _prior_odds(self) -> Tensor:
        gamma = self._base.log_initial.new_tensor(self.model.mdp.discount)
        return gamma.log() - torch.log1p(-gamma)


def _names(factors: Factors | None, whole: str) -> tuple[str, ...]:
    return (whole,) if factors is None else factors.names


def _sizes(factors: Factors | None, num_outcomes: int) -> tuple[int, ...]:
    return (num_outcomes,) if factors is None else factors.sizes


def _tables(names: tuple[str, ...], chain: list[Tensor], betas: list[Any]) -> torch.nn.ParameterDict:
    """The logits of the factors that are not clamped everywhere, initialised at 0."""
    free = (each for each in zip(names, chain, betas, strict=True) if isinstance(each[2], Tensor) or each[2] != 0)
    return torch.nn.ParameterDict({name: torch.zeros_like(log_p).contiguous() for name, log_p, _ in free})
