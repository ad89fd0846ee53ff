"""The mixture of guides: one component is drawn per trajectory, and the choice is not recorded.

Sources:
    [jaakkola1998] T. S. Jaakkola and M. I. Jordan, Improving the mean field approximation via the use of mixture
        distributions. Learning in Graphical Models, pages 163–173, 1998.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from pyro.infer.elbo import ELBO
from torch import Tensor

from pgm_control.chance.log_space import expect
from pgm_control.errors import InvalidArgument, InvalidGuide
from pgm_control.inference.sampling.estimate import Estimate, require_draws
from pgm_control.inference.variational.elbo import elbo
from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.runtime.arguments import listed, whole
from pgm_control.runtime.randomness import generator_of
from pgm_control.trajectories.blocks import Blocks, MarkovModel
from pgm_control.trajectories.process import MarkovProcess

from .markov import MarkovGuide
from .memory import MemoryGuide
from .mixture_process import MixtureProcess


@final
class MixtureGuide(MemoryGuide):
    r"""A mixture of Markov guides: one of them is drawn at the start and followed; the choice is not recorded.

    $$q(s_0, a_0, k_0, \dots) = \sum_z w_z\, q_z(s_0, a_0, k_0, \dots)$$

    Its program has only the sites of the model: every value is drawn from the prediction $\sum_z b(z)\, q_z(\cdot)$,
    where the belief b(z) starts at the weights and is updated by the values drawn. The action therefore
    depends on the history, and no table over time and state represents the policy, but the density is exact. If every
    component is clamped, the mixture is clamped.

    Its ELBO is the weighted mean of the ELBOs of its components plus the mutual information between trajectory and
    component [jaakkola1998]:

    $$\text{ELBO}(q) = \sum_z w_z\, \text{ELBO}(q_z) + I(z; \text{trajectory}), \qquad
        0 \le I \le -\sum_z w_z \log w_z$$

    since $E_q[\log \tilde p - \log q] = \sum_z w_z E_{q_z}[\log \tilde p - \log q_z] + \sum_z w_z E_{q_z}[\log q_z/q]$.
    The first term is computed exactly. The second is estimated, from the belief b after the whole trajectory, by
    $E_q[KL(b \,\|\, w)]$, which is bounded, so its variance is small.

    Mixing helps families that are too small. It cannot improve on `ClampedGuide`: for fixed dynamics no policy that
    depends on the history has a better objective than the best Markov policy, by backward induction. It cannot improve
    on `FreeGuide`, which contains the exact posterior. It does improve open-loop and mean-field guides, whose actions
    are independent: a mixture makes them correlated.

    Parameters: `weight_logits`, one per component, in nats, and those of the components. Components that start equal
    get equal gradients and stay equal: build them with `MixtureGuide.apart`. The ELBO is not concave: a component that
    starts close to another may end with weight 0. Fit from several seeds.

    References:
        [jaakkola1998]
    """

    def __init__(self, model: MarkovModel, guides: Sequence[MarkovGuide]) -> None:
        """Mix guides of one model, with equal initial weights.

        Args:
            model: the model.
            guides: the components, which belong to the mixture from now on: fitting it changes them.

        Raises:
            InvalidArgument: if there is no guide, one is not a MarkovGuide of this model, or one occurs twice.
        """
        super().__init__(model)
        guides = listed("guides", guides, "guides of this model")
        _check(model, guides)
        self.components = torch.nn.ModuleList(guides)
        self.weight_logits = torch.nn.Parameter(model.mdp.initial.new_zeros(len(guides)))

    @classmethod
    def apart(
        cls,
        model: MarkovModel,
        build: Callable[[MarkovModel], MarkovGuide],
        num_components: int = 3,
        spread: float = 0.5,
        seed: int | torch.Generator | None = None,
    ) -> "MixtureGuide":
        """Return a mixture of guides of one class with slightly different initial parameters.

        Args:
            model: the model.
            build: a function of the model that returns a component, such as `ClampedGuide`.
            num_components: the number of components.
            spread: the standard deviation of the normal noise added to all parameters, in nats for logits.
            seed: an integer, a generator, or None for torch's global generator.
        """
        guides = [build(model) for _ in range(whole("num_components", num_components))]
        generator = generator_of(seed, model.mdp.initial.device)
        with torch.no_grad():
            for parameter in (each for guide in guides for each in guide.parameters()):
                parameter += spread * torch.randn(
                    parameter.shape, generator=generator, dtype=parameter.dtype, device=parameter.device
                )
        return cls(model, guides)

    @property
    def weights(self) -> Float[Tensor, " component"]:
        """The probabilities of the components, w."""
        return torch.softmax(self.weight_logits.detach(), -1)

    def process(self) -> MixtureProcess:
        """The process of the components and their log-weights."""
        return self._mix([guide.blocks() for guide in self.guides])

    def elbo(self, num_samples: int = 100, seed: int | torch.Generator | None = None) -> Estimate:
        """An estimate of the ELBO, in nats: exact ELBOs of the components plus the sampled information term.

        Args:
            num_samples: the number of trajectories from each component, at least 2.
            seed: an integer, a generator, or None for torch's global generator.
        """
        with torch.no_grad():
            known, process = self._parts()
            generator = generator_of(seed, self.model.mdp.initial.device)
            gain = process.information(self.model.mdp, require_draws("num_samples", num_samples), generator).gain
            weight = process.log_weight.exp()
            error = float((weight**2 * gain.var(-1)).sum() / num_samples) ** 0.5
            mean = float(known + (weight * gain.mean(-1)).sum())
        return Estimate(mean, error if mean > -torch.inf else 0.0, num_samples * len(weight))

    def surrogate(self, num_samples: int) -> Float[Tensor, ""]:
        r"""An unbiased estimate of the ELBO, in nats, whose gradient is an unbiased estimate of its gradient.

        $$\sum_z w_z\,\text{ELBO}(q_z) + \sum_z w_z \frac1n \sum_{i} \bigl(f_i + (f_i - \bar f_{-i})\,
            \nabla \log q_z(x_i)\bigr), \qquad f_i = KL(b(x_i) \,\|\, w)$$

        The baseline of each draw is the mean over the other draws of its component.
        """
        known, process = self._parts()
        gain, log_own = process.information(self.model.mdp, require_draws("num_samples", num_samples))
        baseline = (gain.sum(-1, keepdim=True) - gain) / (num_samples - 1)
        score = (gain - baseline).detach() * (log_own - log_own.detach())
        return known + (process.log_weight.exp() * (gain + score).mean(-1)).sum()

    def _parts(self) -> tuple[Float[Tensor, ""], MixtureProcess]:
        """The weighted mean of the components' ELBOs, in nats, and the process, from the same blocks."""
        blocks = [guide.blocks() for guide in self.guides]
        process = self._mix(blocks)
        return expect(process.log_weight, torch.stack([elbo(self.model, each) for each in blocks])), process

    def _mix(self, blocks: list[Blocks]) -> MixtureProcess:
        components = [MarkovProcess(each) for each in blocks]
        return MixtureProcess(torch.log_softmax(self.weight_logits, -1), components)

    @property
    def guides(self) -> tuple[MarkovGuide, ...]:
        """The components of the mixture, in the order of `weights`."""
        return tuple(guide for guide in self.components if isinstance(guide, MarkovGuide))


def _check(model: MarkovModel, guides: Sequence[object]) -> None:
    for i, guide in enumerate(guides):
        if not isinstance(guide, MarkovGuide):
            kind = f"the class {guide.__name__}" if isinstance(guide, type) else f"a {type(guide).__name__}"
            raise InvalidArgument(f"`guides[{i}]` must be a MarkovGuide, such as ClampedGuide(model), but is {kind}.")
        if guide.model is not model:
            raise InvalidArgument(
                f"`guides[{i}]` must be a guide of the same `model`, but was built from another. Build all of them "
                "from the model that you pass here."
            )
        if any(guide is other for other in guides[:i]):
            raise InvalidArgument(
                f"`guides[{i}]` must differ from the other guides, but the same object occurs twice. Build another."
            )


class MixtureELBO(ELBO):
    """A Pyro loss for a `MixtureGuide`: an unbiased, low-variance estimate of its ELBO and of the gradient.

    Use it as `fit(model, guide, loss=MixtureELBO())`. `Trace_ELBO` is unbiased too, but its
    variance includes that of the rewards.
    """

    objective_name = "ELBO"

    def __init__(self, num_particles: int = 32) -> None:
        """Set the number of trajectories that are drawn from each component, at least 2."""
        super().__init__(num_particles=require_draws("num_particles", num_particles))

    def __repr__(self) -> str:
        """The number of trajectories of each component."""
        return f"MixtureELBO({self.num_particles})"

    def loss(self, model: MarkovModel, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> float:
        """An estimate of −ELBO, in nats."""
        with torch.no_grad():
            return float(self.differentiable_loss(model, guide))

    def differentiable_loss(self, model: MarkovModel, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> Tensor:
        """An estimate of −ELBO, in nats, whose gradient is unbiased.

        Raises:
            InvalidGuide: if the guide is not a mixture, or was built from another model.
        """
        if not isinstance(guide, MixtureGuide):
            raise InvalidGuide(
                f"MixtureELBO needs a MixtureGuide, but got a {type(guide).__name__}. For a guide with `blocks()` take "
                "MarkovELBO, for any other Trace_ELBO."
            )
        if guide.model is not model:
            raise InvalidGuide("The mixture must be of this model, but was built from another. Pass guide.model.")
        announce_parameters(guide)
        return -guide.surrogate(self.num_particles)

    def loss_and_grads(self, model: MarkovModel, guide: Callable[[], Any], *args: Any, **kwargs: Any) -> float:
        """An estimate of −ELBO, in nats; adds the estimated gradient to the guide's parameters."""
        loss = self.differentiable_loss(model, guide)
        if loss.requires_grad:
            loss.backward()
        return float(loss.detach())

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError("MixtureELBO draws from the components and never traces a program.")
