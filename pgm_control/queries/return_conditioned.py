"""Agents that condition on a high return, as sequence models do: the exact posterior and the cost of its delusion.

Sources:
    [brandfonbrener2022] D. Brandfonbrener et al., When does return-conditioned supervised learning work for offline
        reinforcement learning? Advances in Neural Information Processing Systems 35, 2022. arXiv:2206.01079
    [ortega2021] P. A. Ortega et al., Shaking the foundations: delusions in sequence models for interaction and control.
        2021. arXiv:2110.10819
    [paster2022] K. Paster, S. McIlraith and J. Ba, You can't count on luck: why decision transformers and RvS fail in
        stochastic environments. Advances in Neural Information Processing Systems 35, 2022. arXiv:2205.15967
    [yang2023] M. Yang et al., Dichotomy of control: separating what you can control from what you cannot. International
        Conference on Learning Representations, 2023. arXiv:2210.13435
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float, Int

from ..analysis.evaluate import evaluate
from ..analysis.return_distribution import return_distribution
from ..analysis.scores.atoms import ReturnDistribution
from ..errors import InvalidArgument, InvalidProblem
from ..inference.exact.infer import infer
from ..inference.exact.posterior import Posterior
from ..models import TabularModel
from ..problems.mdp import TabularMDP
from ..runtime.arguments import finite, whole
from ..text.wording import amount, chance
from ..trajectories.blocks import MarkovModel, require_model
from .unrolled import true_dynamics

_SAME = 1e-10  # relative to the largest possible return: sums of rewards that differ by less are merged
_SURE = 1 - 1e-9


@final
@dataclass(frozen=True, eq=False, repr=False)
class ReturnConditioned:
    r"""The beliefs, the policy and the returns of an agent that conditions on a return of at least the target.

    The agent acts on pairs of a state and the return so far, which is equivalent to a prompt with the return to go.
    All numbers are exact. Printing it prints sentences.

    Attributes:
        target: g, in reward units.
        problem: the problem whose states are pairs (state, return so far). Rewards are 0; the final reward is 0 if the
            return reached g, otherwise −∞. So "always optimal" is the event $G \geq g$.
        state, so_far: for each state of `problem`, the state of the MDP (−1: the episode ended by discount) and the
            return so far, in reward units.
        posterior: the posterior of that problem: the conditional policy, and its beliefs about the dynamics.
        behaviour: P(G ≥ g) under the action prior, which generated the data.
        success: P(G ≥ g) of the conditional policy under the true dynamics; under its own beliefs it is 1.
        best_success: the largest P(G ≥ g) of any policy.
        imagined_return: E[G | G ≥ g] under the action prior, which is the posterior's own expectation, in reward units.
        true_return: the expected return of its policy under the true dynamics, in reward units.
        returns: the distribution of the true return.
    """

    target: float
    problem: TabularMDP
    state: torch.Tensor
    so_far: torch.Tensor
    posterior: Posterior
    behaviour: float
    success: float
    best_success: float
    imagined_return: float
    true_return: float
    returns: ReturnDistribution

    @property
    def delusion(self) -> float:
        """Imagined minus true return, in reward units: the part of the imagined return that is due to luck."""
        return self.imagined_return - self.true_return

    @property
    def sentences(self) -> tuple[str, ...]:
        """The result in sentences."""
        first = (
            f"Under the action prior, a share of {chance(self.behaviour)} of the episodes returns at least "
            f"{amount(self.target)}."
        )
        if self.success > _SURE:
            return (
                first,
                f"Acting as in those episodes always returns at least {amount(self.target)}: no luck was needed.",
            )
        return (
            first,
            f"An agent that acts as in those episodes reaches this return with probability {chance(self.success)}; "
            f"the best policy reaches it {self._best}.",
            f"It imagines a return of {amount(self.imagined_return)} and truly earns {amount(self.true_return)}: "
            "conditioning selected the lucky outcomes together with the actions.",
        )

    @property
    def _best(self) -> str:
        return "always" if self.best_success > _SURE else f"with probability {chance(self.best_success)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of the result by name, as Python numbers."""
        names = ("target", "behaviour", "success", "best_success", "imagined_return", "true_return", "delusion")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        """The sentences of the result, one per line."""
        return "\n".join(self.sentences)

    def __repr__(self) -> str:
        """The main numbers of the result in one line."""
        return (
            f"ReturnConditioned(target={self.target:g}, success={self.success:.4g} of {self.best_success:.4g}, "
            f"imagined {self.imagined_return:.6g}, true {self.true_return:.6g})"
        )


def condition_on_return(
    model: MarkovModel | TabularMDP, target: float, *, max_states: int = 50_000
) -> ReturnConditioned:
    r"""The exact solution of an agent that conditions its actions on a return of at least g.

    Sequence models that are trained on episodes and prompted with a high return approximate this conditional,
    $$\pi(a \mid s, \textstyle\sum_{i<t} r_i) = p(a \mid s, \textstyle\sum_{i<t} r_i,\ G \geq g),$$
    under the behaviour that generated the episodes, here the action prior. It is free inference: with the return so far
    as part of the state, $G \geq g$ is an optimality variable at the end, and the posterior changes both the dynamics
    and the policy. In a deterministic problem this costs nothing; otherwise the agent mistakes luck for skill. Treating
    own actions as evidence in place of interventions has been named as a cause of delusions of sequence models
    [ortega2021].

    Args:
        model: the tabular model, whose action prior is the behaviour, or an MDP, for which the behaviour is uniform.
            With a discount an episode ends after each step with probability 1 − γ, and its return is the sum until
            then.
        target: the target g, in reward units.
        max_states: the maximum number of pairs of a state and a return so far.

    Raises:
        InvalidArgument: if there are more pairs than `max_states`, or g is not a number.
        InvalidProblem: if no episode has such a return.

    References:
        [paster2022], [yang2023], [brandfonbrener2022], [ortega2021]
    """
    if isinstance(model, TabularMDP):
        model = TabularModel(model)
    require_model(model)
    target, max_states = finite("target", target, "number of reward units"), whole("max_states", max_states)
    mdp = model.mdp
    games = return_distribution(model, model)
    if games.at_least(target) == 0:
        raise InvalidProblem(
            f"`target` must be a return that some episode has, but is {target:g}: under the action prior no return "
            f"is above {float(games.values[-1]):.6g}. Lower it, or pass an action prior that reaches it."
        )
    pairs = _pairs(mdp, max_states)
    done = pairs.so_far if mdp.final_reward is None else pairs.so_far + _final(mdp, pairs)
    largest = float(done[done.isfinite()].abs().max())
    slack = 1e-9 * max(abs(target), largest)
    success = done >= target - slack
    alive = pairs.state.clamp(min=0)
    weights = model.action_prior.double().cpu()[alive]  # may count actions
    prior = weights / weights.sum(-1, keepdim=True)

    def ending_with(final: torch.Tensor, temperature: float) -> TabularModel:
        return TabularModel(pairs.problem.replace(final_reward=final.double()), temperature, action_prior=prior)

    wanted = ending_with(torch.where(success, 0.0, -torch.inf), 1.0)
    posterior = infer(wanted, optimism=1.0)
    paying, chances, hard = ending_with(done, 1.0), ending_with(success, 1.0), ending_with(success, 0.0)
    earned = evaluate(paying, posterior)
    return ReturnConditioned(
        target=target,
        problem=wanted.mdp,
        state=pairs.state,
        so_far=pairs.so_far,
        posterior=posterior,
        behaviour=math.exp(posterior.log_evidence),
        success=evaluate(chances, posterior).true_return,
        best_success=evaluate(chances, infer(hard, optimism=0.0)).true_return,
        imagined_return=earned.imagined_return,
        true_return=earned.true_return,
        returns=return_distribution(paying, posterior),
    )


class _Pairs(NamedTuple):
    """A problem over pairs of a state and the return so far, without rewards."""

    problem: TabularMDP
    state: Int[torch.Tensor, " pair"]
    so_far: Float[torch.Tensor, " pair"]


def _pairs(mdp: TabularMDP, most: int) -> _Pairs:
    """All reachable pairs, layer by layer; the transitions of a pair do not depend on the time."""
    dynamics = true_dynamics(mdp).double().cpu().numpy()
    dynamics = dynamics / dynamics.sum(-1, keepdims=True)  # of float32, perhaps
    _, actions, number = dynamics.shape
    ended = mdp.num_states
    absorbing = np.eye(number)[0] * np.ones((1, actions, 1))
    chances = np.concatenate((dynamics, absorbing))
    reward, target = (each.cpu().numpy() for each in (mdp.reward.double(), mdp.successor))
    payment = np.concatenate((np.concatenate((reward,) * (number // mdp.num_outcomes), -1), 0 * absorbing))
    gone = np.full((mdp.num_states, actions, number - mdp.num_outcomes), ended)  # with a discount episodes end
    target = np.concatenate((np.concatenate((target, gone), -1), np.full((1, actions, number), ended)))
    unit = _SAME * max(mdp.horizon * np.abs(reward[np.isfinite(reward)]).max(initial=0.0), 1e-300)

    index: dict[tuple[int, int], int] = {}
    state, so_far = [], []

    def found(states: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """The index of each pair, and the indices of the new ones."""
        key = np.where(np.isfinite(sums), np.rint(sums / unit), -9e18).astype(np.int64)
        unique, first, back = np.unique(np.stack((states, key), -1), axis=0, return_index=True, return_inverse=True)
        fresh, where = [], np.empty(len(unique), np.int64)
        for i, pair in enumerate(map(tuple, unique.tolist())):
            if pair not in index:
                index[pair] = len(index)
                fresh.append(index[pair])
                state.append(pair[0])
                so_far.append(float(sums[first[i]]))
            where[i] = index[pair]
        if len(index) > most:
            raise InvalidArgument(
                f"`max_states` must be enough for all pairs of a state and a return so far, but there are more than "
                f"{most}. Round the rewards, shorten the horizon, or raise it."
            )
        return where[back.reshape(-1)], fresh

    start = np.flatnonzero(mdp.initial.cpu().numpy())
    at, layer = found(start, np.zeros(len(start)))
    initial = mdp.initial.double().cpu().numpy()[start]
    initial = initial / initial.sum()
    moves: dict[int, np.ndarray] = {}
    for _ in range(mdp.horizon):
        if not layer:
            break
        here = np.array([state[i] for i in layer])
        sums = np.array([so_far[i] for i in layer])[:, None, None] + payment[here]
        possible = chances[here] > 0
        reached, fresh = found(target[here][possible], sums[possible])
        rows = np.broadcast_to(np.array(layer)[:, None, None], possible.shape).copy()
        rows[possible] = reached
        moves |= dict(zip(layer, rows, strict=True))
        layer = fresh
    count = len(index)
    successor = np.broadcast_to(np.arange(count)[:, None, None], (count, actions, number)).copy()
    probability = np.repeat(absorbing, count, 0)
    for i, row in moves.items():
        successor[i], probability[i] = row, chances[state[i]]
    began = np.zeros(count)
    began[at] = initial
    labels = ["ended" if s == ended else mdp.state_name(s) for s in state]
    names = [f"{label}, {g:g} so far" for label, g in zip(labels, so_far, strict=True)]
    if len(set(names)) < count:  # returns that agree to six digits
        names = [f"{label}, {g:.17g} so far" for label, g in zip(labels, so_far, strict=True)]
    problem = TabularMDP(
        began, probability, successor, np.zeros_like(probability), mdp.horizon,
        state_names=names, action_names=mdp.action_names,
    )  # fmt: skip
    states = torch.tensor([-1 if s == ended else s for s in state])
    return _Pairs(problem, states, torch.tensor(so_far, dtype=torch.float64))


def _final(mdp: TabularMDP, pairs: _Pairs) -> Float[torch.Tensor, " pair"]:
    """The final reward of each pair; 0 for a terminated episode."""
    assert mdp.final_reward is not None
    return torch.where(pairs.state < 0, 0.0, mdp.final_reward.double().cpu()[pairs.state.clamp(min=0)])
