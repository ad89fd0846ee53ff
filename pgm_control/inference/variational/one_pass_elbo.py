r"""The ELBO of a guide that is its model with some distributions changed, from one run of the program.

Sources:
    [kool2019] W. Kool, H. van Hoof and M. Welling, Buy 4 REINFORCE samples, get a baseline for free!. ICLR Workshop on
        Deep Reinforcement Learning Meets Structured Prediction, 2019.
"""

import itertools
from collections.abc import Callable
from typing import Any, final

import pyro
import torch
from jaxtyping import Float
from pyro.infer.elbo import ELBO
from torch import Tensor

from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidArgument, InvalidGuide
from ...programs.changed import ChangesSites, Scored, score_changed
from ...programs.roles import roles_of, temperature_of
from ...runtime.arguments import is_number, number, shown, whole
from .parameters import announce_parameters


@final
class OnePassELBO(ELBO):
    r"""The ELBO, or $J_\beta$, of a guide that changes sites of its model, by reparameterised draws side by side.

    $$J_\beta = E_q\Bigl[\sum_t \frac{r_t}{\tau} - \log\frac{\pi_t(a_t \mid s_t)}{\rho_t(a_t \mid s_t)}
    - \frac1\beta \log\frac{q_t(s_{t+1} \mid s_t, a_t)}{p_t(s_{t+1} \mid s_t, a_t)}\Bigr]$$

    With β = 1, the default, it is the number that `Trace_ELBO(num_particles, vectorize_particles=True)` computes from
    the same random numbers, and its gradient. The program runs once in place of twice, and the terms of clamped sites,
    which cancel, are left out. Sites that are not reparameterised, such as the member of an ensemble, have the score
    gradient with the mean of the other draws as baseline [kool2019].

        fit(model, guide, loss=OnePassELBO(128), optim=ClippedAdam({"lr": 0.01}), num_steps=2000, seed=0)

    Attributes:
        num_particles: the number of draws in each step.
        optimism: β.

    References:
        [kool2019]
    """

    def __init__(self, num_particles: int = 64, optimism: OptimismLike = 1.0) -> None:
        """Take the number of draws, and β.

        Args:
            num_particles: the number of draws in each step.
            optimism: β of the dynamics and of the start, each a number of 0 or more; at 0 a block must be the model's.

        Raises:
            InvalidArgument: if an argument does not fit. A negative β makes the dynamics minimise, which one gradient
                for all parameters does not.
        """
        super().__init__(num_particles=whole("num_particles", num_particles))
        self.optimism = Optimism.of(optimism)
        self._prices(1.0)

    @property
    def objective_name(self) -> str:
        """What minus the loss estimates."""
        return "ELBO" if self._prices(1.0) == (1.0, 1.0) else "objective J_β"

    def loss(self, model: Callable[[], Any], guide: Callable[[], Any], *args: Any, **kwargs: Any) -> float:
        """Minus the estimate, in nats."""
        with torch.no_grad():
            return -float(self._log_weights(model, guide)[0].mean())

    def differentiable_loss(
        self, model: Callable[[], Any], guide: Callable[[], Any], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Minus the estimate, in nats; its gradient estimates that of the objective."""
        log_weight, scored = self._log_weights(model, guide)
        value = log_weight.mean()
        if scored.log_score:
            score = torch.stack(list(scored.log_score.values())).sum(0)
            found = log_weight.detach()
            count = len(found)
            baseline = (found.sum() - found) / (count - 1) if count > 1 else torch.zeros_like(found)
            surrogate = ((found - baseline) * score).mean()
            value = value + surrogate - surrogate.detach()
        return -value

    def loss_and_grads(self, model: Callable[[], Any], guide: Callable[[], Any], *args: Any, **kwargs: Any) -> float:
        """Minus the estimate, in nats; adds the gradient to the parameters."""
        loss = self.differentiable_loss(model, guide)
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())

    def _log_weights(self, model: Callable[[], Any], guide: Callable[[], Any]) -> tuple[Float[Tensor, " draw"], Scored]:
        """The log-weights of the draws, each block of chance at its price."""
        if not isinstance(guide, ChangesSites) or guide.model is not model:
            raise InvalidGuide(
                "`guide` must be a guide that changes sites of this model, such as ClampedNeuralGuide(model), for "
                f"OnePassELBO, but is {shown(guide)}. For any other take Trace_ELBO."
            )
        if isinstance(guide, torch.nn.Module):
            announce_parameters(guide)
        with pyro.validation_enabled(False):  # a number that is no number ends the fit
            scored, roles = score_changed(model, guide.change, self.num_particles), roles_of(model)
        start, dynamics = self._prices(temperature_of(model))
        before = set(itertools.takewhile(lambda name: "action" not in roles(name), scored.latent))
        terms = list(scored.log_factor.values())
        for name, each in scored.log_ratio.items():
            price = (start if name in before else dynamics) if "chance" in roles(name) else 1.0
            terms.append(price * each)
        return torch.stack(terms).sum(0), scored

    def _prices(self, temperature: float) -> tuple[float, float]:
        """1/β of the start and of the dynamics; 1 where β is 0."""
        beta = self.optimism.at(temperature)
        return _price("start", beta.initial), _price("dynamics", beta.dynamics)

    def __repr__(self) -> str:
        """The number of draws, and β."""
        return f"OnePassELBO({self.num_particles}, {self.optimism!r})"

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError("OnePassELBO runs model and guide at once and traces neither.")


def _price(block: str, beta: object) -> float:
    if not is_number(beta) or number(beta) < 0:
        raise InvalidArgument(
            f"`optimism` must be 0 or more for the {block}, a number, for OnePassELBO, but is {shown(beta)}."
        )
    return 1.0 / number(beta) if number(beta) != 0 else 1.0
