"""The result of `evaluate`."""

from dataclasses import dataclass
from typing import Any, final

from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...problems.mdp import TabularMDP
from ...text.one_line import one_line


@final
@dataclass(frozen=True)
class Evaluation:
    r"""The exact evaluation of a guide or a policy.

    Attributes:
        elbo: the guide's ELBO, in nats: imagined return / τ − policy_kl − dynamics_kl, or with other factors than
            exp(r/τ) the imagined log-likelihood in place of the return; None at temperature 0.
        imagined_return: $E_q[Σ_t γ^t r_t]$, the return under the guide's own start and dynamics, in reward units; it
            includes the final reward.
        true_return: the same for its policy in the true world, $E_{p, π}[Σ_t γ^t r_t]$.
        policy_entropy: the entropy of the policy, summed over the steps of true trajectories until the episode ends, in
            nats. An episode has ended in a state where every action stays and pays 0. Of vectors it is the differential
            entropy, or None if that is not known.
        policy_kl: $E_q[Σ_t \log π_t/ρ]$ over the guide's own trajectories, in nats: the KL of the policy from the
            action prior; with the prior "count", minus the entropy.
        dynamics_kl: the KL of the guide's start, dynamics and survival from the true ones, over the guide's own
            trajectories, in nats.
        world: the true world, if it was another than that of the model; the true return and the entropy are those in
            this world, everything else is about the model. None if the model defines the true world.
        best_return: the largest true return of any policy in `world`, risk-neutral and exact, in reward units; None
            without `world`.
    """

    elbo: float | Any  # None at temperature 0; Any, so that callers need not check it elsewhere
    imagined_return: float
    true_return: float
    policy_entropy: float | Any
    policy_kl: float
    dynamics_kl: float
    world: TabularMDP | LinearQuadratic | None = None
    best_return: float | None = None

    __repr__ = one_line

    @property
    def delusion(self) -> float:
        """Imagined minus true return, in reward units; 0 if they are equal, even if both are −inf."""
        return _difference(self.imagined_return, self.true_return)

    @property
    def regret(self) -> float | None:
        """Best minus true return in `world`, in reward units; 0 if both are −inf; None without `world`."""
        return None if self.best_return is None else _difference(self.best_return, self.true_return)


def _difference(one: float, other: float) -> float:
    """One minus the other; 0 if they are equal, even if both are −inf."""
    return 0.0 if one == other else one - other
