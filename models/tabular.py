"""The trajectory model of a tabular MDP, as a Pyro program.

Sources:
    [haarnoja2018c] T. Haarnoja et al., Latent space policies for hierarchical reinforcement learning. International
        Conference on Machine Learning, Proceedings of Machine Learning Research 80, pages 1851–1860, 2018.
        arXiv:1804.02808
    [kappen2012] H. J. Kappen, V. Gómez and M. Opper, Optimal control as a graphical model inference problem. Machine
        Learning 87:159–182, 2012. arXiv:0901.0633
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
    [todorov2008] E. Todorov, General duality between optimal control and estimation. IEEE Conference on Decision and
        Control, pages 4286–4292, 2008.
    [ziebart2008] B. D. Ziebart et al., Maximum entropy inverse reinforcement learning. AAAI Conference on Artificial
        Intelligence, pages 1433–1438, 2008.
"""

from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.chance.log_space import log_mass, logarithm, split_mass
from pgm_control.chance.optimality import ExponentialOptimality, LogisticOptimality, Optimality, TableOptimality
from pgm_control.errors import InvalidArgument, InvalidProblem
from pgm_control.problems.checks import Kind, normalised, shape, table
from pgm_control.problems.feasible import counting_measure
from pgm_control.problems.gradients import detached
from pgm_control.problems.mdp import TabularMDP, require_mdp
from pgm_control.problems.timed import at_time, by_time, checked_observed, checked_temperatures
from pgm_control.runtime.arguments import flag, shown
from pgm_control.runtime.array_like import ArrayLike
from pgm_control.runtime.moving import Place, moved_copy, moved_probability, place_of
from pgm_control.text.problem_page import problem_page
from pgm_control.trajectories.action_measure import counts_actions
from pgm_control.trajectories.blocks import Blocks, HasBlocks, MarkovModel, trusted_blocks
from pgm_control.trajectories.program import run_program
from pgm_control.trajectories.steps import has_last_factor, observed_of, optimality_of, temperature_words
from pgm_control.trajectories.tabulate import tabulate


@final
@trusted_blocks
class TabularModel:
    r"""A distribution over trajectories, with an optimality variable of likelihood $\exp(r/\tau)$ at every step.

    Joint density (unnormalised; any real reward)

    $$\tilde p = p(s_0) \prod_{t=0}^{T-1} \rho(a_t \mid s_t)\, p(k_t \mid s_t, a_t)\, \exp(r_t/\tau)$$

    Calling the model runs it as a Pyro program with the sites `state_t` (t = 0 … T), `action_t`, `outcome_t` and the
    factor `optimality_t` (t = 0 … T−1, and T if there is a final reward). The states are determined by the outcomes.
    With a discount γ < 1 the agent survives each step with probability γ, and state S means that the episode has ended:
    there are no factors then.

    Everything may depend on time: dynamics and rewards, the action prior, and the temperature, where step t has the
    factor $\exp(r_t/\tau_t)$. In the values, which are in reward units, a step ahead counts in nats,

    $$Q_t(s, a) = L_\beta[r_t + \gamma\, \tau_t V_{t+1}(s')/\tau_{t+1}],$$

    which is not the annealing of the entropy alone, where a reward keeps its weight and only $\tau$ of the policy
    changes. `observed` leaves out the factors of some steps, for a goal at the end or on the way, and `optimality`
    gives another likelihood than the exponential one.

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
        temperature: τ, in reward units per nat: a number, or by time and last if it depends on time.
        action_prior: $\rho(a \mid s)$; with the prior "count" 1 for each action of A(s). The uniform prior is stored as
            a single number, expanded.

    References:
        [levine2018], [todorov2008], [kappen2012], [ziebart2008]
    """

    def __init__(
        self,
        mdp: TabularMDP,
        temperature: float | np.number | ArrayLike = 1.0,
        action_prior: ArrayLike | Literal["count"] | None = None,
        observed: ArrayLike | None = None,
        optimality: Optimality = ExponentialOptimality(),  # noqa: B008
    ) -> None:
        """Define the model.

        Args:
            mdp: the problem.
            temperature: τ, in reward units per nat. If it is large the policy approaches the prior; if it is small, the
                best trajectory. 0 is the hard maximum, which only `infer`, `value_iteration` and `average_reward`,
                with optimism 0 or a `Risk`, `frontier`, `evaluate` and `policy_evaluation` accept. A vector gives τ of
                each step, all positive: T numbers, or T + 1 with that of the final reward, which else has the last one.
            action_prior: ρ(a|s), probabilities, shape (state, action), or by time (time, state, action); default:
                uniform, 1/A. 0 masks an action. Or "count": the entropy of maximum-entropy control and of path
                distributions [ziebart2008], see above.
            observed: which optimality variables are observed, T booleans, or T + 1 with that of the final reward, which
                else is. The factor of the others is left out; their rewards count in returns only.
            optimality: the likelihood of optimality: `ExponentialOptimality()`, `LogisticOptimality()`,
                `TableOptimality(log_likelihood)`, or your own `Optimality`.

        Raises:
            InvalidProblem: if an argument does not fit; the message names it and the remedy.
        """
        self.mdp = require_mdp("mdp", mdp, timed=True, graph=True)
        self.temperature: float | Any = checked_temperatures(
            "temperature", temperature, mdp.horizon, mdp.probability.dtype
        )
        self.optimality = _checked_optimality(optimality, mdp, self.temperature)
        self.observed = checked_observed("observed", observed, mdp.horizon, has_end=has_last_factor(self))
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
            axes = {2: "state, action", 3: "time, state, action"}
            kind = Kind(mdp.probability.dtype, mdp.probability.device)
            prior = table("action_prior", action_prior, axes, kind, keeps_graph=True)
            rows = rows if prior.ndim == 2 else (mdp.horizon, *rows)
            shape("action_prior", prior, rows, "one row a state, one probability an action")
            names = (mdp.state_names, mdp.action_names) if prior.ndim == 2 else (None, mdp.state_names, None)
            self.action_prior = normalised("action_prior", prior, names, given=action_prior)

    @property
    def problem(self) -> TabularMDP:
        """The problem, an MDP; the same as `mdp`."""
        return self.mdp

    def __call__(self) -> None:
        """Run the model as a Pyro program.

        Raises:
            InvalidProblem: at temperature 0, where exp(r/τ) is not a finite factor.
        """
        if not isinstance(self.temperature, Tensor) and self.temperature == 0:
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

    def with_prior(self, guide: HasBlocks, dynamics: bool = False, initial: bool = False) -> "TabularModel":
        r"""The model whose action prior is the policy of a posterior or a guide: the next layer of a hierarchy.

        $$\tilde p = p(s_0) \prod_t \pi_t(a_t \mid s_t)\, p(k_t \mid s_t, a_t)\, \exp(r_t/\tau)$$

        Layers add [haarnoja2018c]: if π is the clamped optimum of the reward r₁, the clamped optimum of this model with
        the reward r₂ is that of r₁ + r₂, and the objectives add, because $\log \pi_t = \log\rho + (Q_t - V_t)/\tau$
        telescopes under the true dynamics. Optima with free dynamics add only if the believed dynamics and start are
        handed up too. All this is at one temperature.

            below = TabularModel(mdp.replace(reward=first), 0.5)
            above = TabularModel(mdp.replace(reward=second), 0.5).with_prior(infer(below, 0.0))
            infer(above, 0.0)  # the policy of infer(TabularModel(mdp.replace(reward=first + second), 0.5), 0.0)

        Args:
            guide: a posterior, or anything with `blocks()`, over the outcomes of this problem.
            dynamics: whether its dynamics take the place of the true ones.
            initial: whether its start takes the place of the true one.

        Raises:
            InvalidGuide: if its factors do not fit the model.
            InvalidArgument: if `dynamics` and the guide has a survival of its own, which a problem cannot hold.

        References:
            [haarnoja2018c]
        """
        dynamics, initial = flag("dynamics", dynamics), flag("initial", initial)
        blocks = tabulate(self, guide)
        if dynamics and blocks.log_survival is not None:
            raise InvalidArgument(
                "`guide` must have the survival of the problem if its dynamics are handed up, but has its own. Clamp "
                "it: infer(model, Optimism(dynamics=1.0, initial=1.0))."
            )
        mdp = self.mdp.replace(probability=blocks.dynamics.detach()) if dynamics else self.mdp
        mdp = mdp.replace(initial=blocks.initial.detach()) if initial else mdp
        return model_like(self, mdp, action_prior=blocks.policy.detach())

    def blocks(self) -> Blocks:
        """The prior over trajectories: initial distribution, action prior, true dynamics."""
        steps = self.mdp.horizon
        return Blocks(
            self.mdp,
            logarithm(self.mdp.initial),
            by_time(split_mass(self.action_prior)[0], steps, 2),
            by_time(logarithm(self.mdp.probability), steps, 3),
        )

    def __repr__(self) -> str:
        """The problem, the temperature, and whether the action prior counts actions."""
        prior = ', action prior "count"' if bool(log_mass(self.action_prior).any()) else ""
        return f"TabularModel({self.mdp!r}, temperature {temperature_words(self)}{prior}{_special(self)})"

    def _repr_html_(self) -> str:
        """An HTML view for notebooks: the problem, the temperature and the first transition probabilities."""
        kind = "uniform" if bool((self.action_prior == self.action_prior.flatten()[0]).all()) else "given"
        kind = '"count"' if counts_actions(self) else kind
        tau = temperature_words(self)
        also = f"; temperature τ = {tau} reward units per nat, action prior {kind}{_special(self)}"
        return problem_page(self.mdp, "TabularModel", also)


def _checked_optimality(optimality: object, mdp: TabularMDP, temperature: object) -> Optimality:
    """The likelihood of optimality, which must be one, fit the problem, and have a positive temperature."""
    if not isinstance(optimality, Optimality):
        raise InvalidProblem(
            f"`optimality` must be a likelihood such as LogisticOptimality(), but is {shown(optimality)}."
        )
    if not isinstance(optimality, ExponentialOptimality) and not isinstance(temperature, Tensor) and temperature == 0:
        raise InvalidProblem(
            f"`optimality` must be exponential at temperature 0, but is {optimality}. Pass a positive temperature."
        )
    if isinstance(optimality, TableOptimality):
        rows = tuple(mdp.probability.shape[-3:])
        expected = {"log_likelihood": (optimality.table, rows), "final": (optimality.final, rows[:1])}
        for name, (found, axes) in expected.items():
            timed = found is not None and found.ndim > len(axes)
            if found is not None and tuple(found.shape) != ((mdp.horizon, *axes) if timed else axes):
                also = f", or with {mdp.horizon} steps in front," if name != "final" else ""
                raise InvalidProblem(
                    f"`optimality` must have a {name} of the shape {axes} of the problem{also} but has "
                    f"{tuple(found.shape)}."
                )
    elif not isinstance(optimality, ExponentialOptimality | LogisticOptimality):
        _require_log_likelihoods(optimality, mdp, temperature)
    return optimality


def _require_log_likelihoods(optimality: Optimality, mdp: TabularMDP, temperature: Any) -> None:
    """Require that the user's likelihood returns log-likelihoods for the rewards of the problem."""
    steps, taus = mdp.horizon, temperature.tolist() if isinstance(temperature, Tensor) else None
    differ = taus is not None or mdp.reward.ndim > 3
    given = [("log_likelihood", at_time(mdp.reward, t, 3), t) for t in range(steps if differ else 1)]
    for name, reward, t in (*given, ("final_log_likelihood", mdp.final_reward, steps)):
        own: Any = None if reward is None else reward.detach().clone()
        found: Any = getattr(optimality, name)(own, taus[t] if taus else temperature)
        if found is None and t == steps:
            continue
        shape = (mdp.num_states,) if t == steps else tuple(mdp.probability.shape[-3:])
        shape = (steps, *shape) if t < steps and optimality.is_timed else shape
        if not isinstance(found, Tensor) or found.is_complex() or found.is_sparse or tuple(found.shape) != shape:
            raise InvalidProblem(
                f"`optimality` must return a tensor of shape {shape} from {name}, but {optimality} returns "
                f"{shown(found)}."
            )
        if not bool((found.detach() < torch.inf).all()):
            raise InvalidProblem(
                f"`optimality` must return log-likelihoods below +inf from {name}, but {optimality} returns "
                f"{shown(found[~(found.detach() < torch.inf)][0].item())} for a reward of the problem."
            )
        if found.requires_grad:
            raise InvalidProblem(
                f"`optimality` must hold numbers, but {name} of {optimality} returns a tensor that requires a "
                "gradient, which would be lost here. Call detach() on its parameters."
            )
        if reward is not None and not torch.equal(own, reward):
            raise InvalidProblem(
                f"`optimality` must leave the rewards as they are, but {name} of {optimality} changes them. Use "
                "operations that return another tensor, such as clamp in place of clamp_."
            )


def _special(model: TabularModel) -> str:
    """What is said of a likelihood that is not exponential, and of optimality variables that are not observed."""
    kind = "" if isinstance(model.optimality, ExponentialOptimality) else f", {model.optimality}"
    if model.observed is None:
        return kind
    observed = model.observed if has_last_factor(model) else model.observed[:-1]
    return f"{kind}, {int(observed.sum())} of {len(observed)} optimality variables observed"


def hard_model(model: MarkovModel, mdp: TabularMDP | None = None) -> TabularModel:
    """The model at temperature 0, whose optimum is the largest return among policies that the action prior allows.

    Every step counts there, whatever the likelihood of optimality and whichever steps are observed. `mdp` is another
    problem in the place of the model's.
    """
    made = TabularModel(model.mdp if mdp is None else mdp, 0.0)
    made.action_prior = model.action_prior
    return made


def model_like(
    model: MarkovModel,
    mdp: TabularMDP,
    temperature: float | None = None,
    action_prior: Float[Tensor, "*time state action"] | None = None,
) -> TabularModel:
    """The model of another problem with the temperature and the action prior of `model`, unless others are given.

    Which steps are observed, and the likelihood of optimality, are those of `model`.

    A given prior is not checked again: it may count actions.
    """
    made = TabularModel(mdp, model.temperature if temperature is None else temperature)
    made.observed, made.optimality = observed_of(model), optimality_of(model)
    made.action_prior = model.action_prior if action_prior is None else action_prior
    return made
