"""The trajectory model of a tabular MDP, as a Pyro program.

Sources:
    [kappen2012] H. J. Kappen, V. Gómez and M. Opper, Optimal control as a graphical model inference problem. Machine
        Learning 87:159–182, 2012. arXiv:0901.0633
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [todorov2008] E. Todorov, General duality between optimal control and estimation. IEEE Conference on Decision and
        Control, pages 4286–4292, 2008.
    [ziebart2008] B. D. Ziebart et al., Maximum entropy inverse reinforcement learning. AAAI Conference on Artificial
        Intelligence, pages 1433–1438, 2008.
"""

from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.chance.log_space import log_mass, logarithm, split_mass
from pgm_control.errors import InvalidProblem
from pgm_control.problems.checks import Kind, normalised, shape, table
from pgm_control.problems.checks import temperature as checked_temperature
from pgm_control.problems.feasible import counting_measure
from pgm_control.problems.gradients import detached
from pgm_control.problems.mdp import TabularMDP, require_mdp
from pgm_control.runtime.array_like import ArrayLike
from pgm_control.runtime.moving import Place, moved_copy, moved_probability, place_of
from pgm_control.text.problem_page import problem_page
from pgm_control.trajectories.action_measure import counts_actions
from pgm_control.trajectories.blocks import Blocks, MarkovModel, trusted_blocks
from pgm_control.trajectories.program import run_program


@final
@trusted_blocks
class TabularModel:
    r"""A distribution over trajectories, with an optimality variable of likelihood $\exp(r/\tau)$ at every step.

    Joint density (unnormalised; any real reward)

    $$\tilde p = p(s_0) \prod_{t=0}^{T-1} \rho(a_t \mid s_t)\, p(k_t \mid s_t, a_t)\, \exp(r_t/\tau)$$

    Calling the model runs it as a Pyro program with the sites `state_t` (t = 0 … T), `action_t`, `outcome_t` and the
    factor `optimality_t` (t = 0 … T−1, and T if there is a final reward). The states are determined by the outcomes.
    With a discount γ < 1 the agent survives each step with probability γ, and state S means that the episode has ended.

    With `action_prior="count"`, ρ is 1 for each action of A(s), the actions with a possible outcome of finite reward,
    and 0 for the others. The program draws uniformly from A(s) and adds $\log |A(s)|$ to the factor. The clamped
    optimum then maximises $E[\sum_t r_t/\tau]$ plus the entropy of the policy, and the free one weighs paths by
    $\exp(\sum_t r_t/\tau)$ alone, however many actions a state has [ziebart2008]. log p(O) is a log partition function,
    which exceeds 0 for rewards of 0. An absorbing state counts its actions too: forbid all but one of them by −inf, or
    each step after the end of an episode adds $\log |A|$.

    | site | values | unit |
    |---|---|---|
    | `state_t` | 0 … S−1 (S: ended) | index |
    | `action_t` | 0 … A−1 | index |
    | `outcome_t` | 0 … K−1 | index |
    | `optimality_t` | log-factor r/τ | nats |

    Attributes:
        problem, mdp: the problem, under two names.
        temperature: τ, in reward units per nat.
        action_prior: $\rho(a \mid s)$; with the prior "count" 1 for each action of A(s). The uniform prior is stored as
            a single number, expanded.

    References:
        [levine2018], [todorov2008], [kappen2012], [ziebart2008]
    """

    def __init__(
        self,
        mdp: TabularMDP,
        temperature: float | np.number | Tensor = 1.0,
        action_prior: ArrayLike | Literal["count"] | None = None,
    ) -> None:
        """Define the model.

        Args:
            mdp: the problem.
            temperature: τ, in reward units per nat. If it is large the policy approaches the prior; if it is small, the
                best trajectory. 0 is the hard maximum, which only `infer`, `value_iteration` and `average_reward`,
                with optimism 0 or a `Risk`, `frontier`, `evaluate` and `policy_evaluation` accept.
            action_prior: ρ(a|s), probabilities, shape (state, action); default: uniform, 1/A. 0 masks an action. Or
                "count": the entropy of maximum-entropy control and of path distributions [ziebart2008], see above.

        Raises:
            InvalidProblem: if an argument does not fit; the message names it and the remedy.
        """
        self.mdp = require_mdp("mdp", mdp, graph=True)
        self.temperature = checked_temperature("temperature", temperature, mdp.probability.dtype)
        rows = (mdp.num_states, mdp.num_actions)
        if action_prior is None:
            self.action_prior = mdp.probability.new_full((1, 1), 1.0 / mdp.num_actions).expand(rows)
        elif isinstance(action_prior, str):
            if action_prior != "count":
                raise InvalidProblem(
                    f'`action_prior` must be probabilities, "count" or None for uniform, but is {action_prior!r}.'
                )
            self.action_prior = counting_measure(mdp)
        else:
            kind = Kind(mdp.probability.dtype, mdp.probability.device)
            prior = table("action_prior", action_prior, 2, kind, keeps_graph=True)
            shape("action_prior", prior, rows, "one row a state, one probability an action")
            self.action_prior = normalised(
                "action_prior", prior, (mdp.state_names, mdp.action_names), given=action_prior
            )

    @property
    def problem(self) -> TabularMDP:
        """The problem, an MDP; the same as `mdp`."""
        return self.mdp

    def __call__(self) -> None:
        """Run the model as a Pyro program.

        Raises:
            InvalidProblem: at temperature 0, where exp(r/τ) is not a finite factor.
        """
        if self.temperature == 0:
            raise InvalidProblem(
                "`temperature` must be positive to run the model, but is 0. infer(model, 0.0) and "
                "infer(model, Risk(theta)) solve it exactly."
            )
        run_program(self.blocks(), optimality=self)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "TabularModel":
        """The model on another device or in another floating dtype; itself if nothing changes. See `TabularMDP.to`.

        Args:
            device: a torch device; default: unchanged.
            dtype: torch.float64 or torch.float32; default: unchanged.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
            InvalidProblem: if a reward exceeds the range of the dtype.
        """
        place = place_of(self.action_prior, device, dtype)
        if place == Place.of(self.action_prior):
            return self
        return moved_copy(self, place, action_prior=moved_probability(self.action_prior, place))

    def detach(self) -> "TabularModel":
        """The model with the same numbers and without the graphs of tables that require gradients; itself if none does.

        A problem and a model keep the graphs of the tensors that they are made from. `soft_values`, `infer`, `elbo`,
        `MarkovELBO` and the Pyro program are differentiable in them; functions that are not refuse such a model.
        """
        return detached(self)

    def blocks(self) -> Blocks:
        """The prior over trajectories: initial distribution, action prior, true dynamics."""
        steps, log_p = self.mdp.horizon, logarithm(self.mdp.probability)
        return Blocks(
            self.mdp,
            logarithm(self.mdp.initial),
            split_mass(self.action_prior)[0].expand(steps, -1, -1),
            log_p.expand(steps, *log_p.shape),
        )

    def __repr__(self) -> str:
        """The problem, the temperature, and whether the action prior counts actions."""
        prior = ', action prior "count"' if bool(log_mass(self.action_prior).any()) else ""
        return f"TabularModel({self.mdp!r}, temperature {self.temperature:g}{prior})"

    def _repr_html_(self) -> str:
        """An HTML view for notebooks: the problem, the temperature and the first transition probabilities."""
        kind = "uniform" if bool((self.action_prior == self.action_prior[0, 0]).all()) else "given"
        kind = '"count"' if counts_actions(self) else kind
        also = f"; temperature τ = {self.temperature:g} reward units per nat, action prior {kind}"
        return problem_page(self.mdp, "TabularModel", also)


def model_like(
    model: MarkovModel,
    mdp: TabularMDP,
    temperature: float | None = None,
    action_prior: Float[Tensor, "state action"] | None = None,
) -> TabularModel:
    """The model of another problem with the temperature and the action prior of `model`, unless others are given.

    A given prior consists of rows of the model's, so that it is not checked again: it may count actions.
    """
    made = TabularModel(mdp, model.temperature if temperature is None else temperature)
    made.action_prior = model.action_prior if action_prior is None else action_prior
    return made
