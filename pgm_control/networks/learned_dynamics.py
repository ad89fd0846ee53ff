r"""Dynamics over vectors, learned from recorded transitions: a Gaussian given state and action, or an ensemble of them.

Sources:
    [chua2018] K. Chua et al., Deep reinforcement learning in a handful of trials using probabilistic dynamics models.
        Advances in Neural Information Processing Systems 31, 2018. arXiv:1805.12114
    [hastie2009] T. Hastie, R. Tibshirani and J. Friedman, The Elements of Statistical Learning, second edition.
        Springer, 2009. doi:10.1007/978-0-387-84858-7
    [lakshminarayanan2017] B. Lakshminarayanan, A. Pritzel and C. Blundell, Simple and scalable predictive uncertainty
        estimation using deep ensembles. Advances in Neural Information Processing Systems 30, 2017. arXiv:1612.01474
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import fraction, positive, shown, whole
from ..runtime.array_like import ArrayLike, numbers
from ..runtime.randomness import generator_of
from ..runtime.status import Status
from ..trajectories.gaussian.blocks import ContinuousTrajectories
from .mixture_of_gaussians import MixtureOfGaussians
from .parallel_networks import ParallelNetworks

_LOG_SCALES = (-6.0, 2.0)  # of the noise, in units of the spread of the changes of state
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_FEWEST = 10  # transitions
_SURE = 2.0  # standard errors by which a network must beat the affine map


class DynamicsStatus(Status):
    """How the fit of dynamics ended."""

    converged = "The log-likelihood of the transitions that were held out stopped improving, for every member."
    out_of_steps = (
        "`num_epochs` was reached while the log-likelihood of the transitions that were held out still improved. Raise "
        "`num_epochs`."
    )
    not_finite = (
        "The log-likelihood became nan or infinite; the best parameters so far are kept. Lower `learning_rate`."
    )


@final
@dataclass(frozen=True, eq=False, repr=False)
class LearnedDynamics:
    r"""Dynamics $p(s' \mid s, a) = N(s + \mu_\theta(s, a), \mathrm{diag}\,\sigma_\theta(s, a)^2)$ with learned μ and σ.

    It is the `dynamics` of a `ContinuousModel`. An ensemble has several members, each from a bootstrap sample of the
    transitions; the model draws one of them for each trajectory, which a guide may change: optimism about what is not
    known, apart from optimism about luck. Called as a function, an ensemble is the mixture of its members, drawn anew
    at every step.

    Attributes:
        networks: the members' networks.
        input_mean, input_scale: of states and actions in the data.
        change_scale: the standard deviation of $s' - s$ in the data.
        held_out_log_likelihood: the mean log-density of transitions that were held out, by member, in nats.
        status: how the fit ended.
        num_epochs: the number of passes over the data.

    References:
        [chua2018], [lakshminarayanan2017]
    """

    networks: ParallelNetworks
    input_mean: Float[Tensor, " input"]
    input_scale: Float[Tensor, " input"]
    change_scale: Float[Tensor, " state"]
    held_out_log_likelihood: Float[Tensor, " member"]
    status: DynamicsStatus
    num_epochs: int

    @property
    def num_members(self) -> int:
        """The number of members of the ensemble."""
        return self.networks.copies

    def __call__(self, t: int, state: Float[Tensor, "*batch state"], action: Float[Tensor, "*batch action"]) -> Any:
        """The distribution of the next state, a mixture for an ensemble. The time t has no effect."""
        mean, log_scale = self._moments(state, action)
        if self.num_members == 1:
            return dist.Normal(mean[0], log_scale[0].exp()).to_event(1)
        mean, log_scale = mean.movedim(0, -2), log_scale.movedim(0, -2)
        return MixtureOfGaussians(mean, log_scale, torch.zeros_like(mean[..., 0]))

    def given(self, member: Int[Tensor, "*batch"]) -> Any:
        """The dynamics of one member, or in a batch those of one member for each element, as a function of t, s, a."""

        def dynamics(t: int, state: Tensor, action: Tensor) -> Any:
            mean, log_scale = (_chosen(each, member) for each in self._moments(state, action))
            return dist.Normal(mean, log_scale.exp()).to_event(1)

        return dynamics

    def _moments(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the log standard deviation of the next state, for all members."""
        scaled = (torch.cat((state, action), -1) - self.input_mean) / self.input_scale
        shift, log_scale = _split(self.networks(scaled))
        return state + self.change_scale * shift, log_scale + self.change_scale.log()

    def __repr__(self) -> str:
        """The number of members, and the log-likelihoods."""
        held = ", ".join(f"{each:.4g}" for each in self.held_out_log_likelihood.tolist())
        return f"LearnedDynamics({self.num_members} members, {held} nats a transition held out, {self.status.name})"


def learn_dynamics(
    states: ArrayLike | ContinuousTrajectories,
    actions: ArrayLike | None = None,
    next_states: ArrayLike | None = None,
    *,
    ensemble_size: int = 1,
    hidden: Sequence[int] = (64, 64),
    num_epochs: int = 300,
    learning_rate: float = 3e-3,
    batch_size: int = 256,
    held_out: float = 0.1,
    patience: int = 20,
    seed: int | torch.Generator | None = None,
) -> LearnedDynamics:
    r"""Learn Gaussian dynamics from recorded transitions, by maximum likelihood with early stopping.

    The network starts at the least-squares regression of $s' - s$ on s and a. Inputs and changes of state are in units
    of their spread. A part of the transitions is held out from all members: each member's parameters are those with the
    largest held-out log-likelihood after any pass over the others, and when no member has improved for `patience`
    passes the fit has converged. A member whose network does not beat that regression by more than two standard errors
    of the difference keeps the regression: of two models between which the data do not decide, the simpler one
    [hastie2009, section 7.10]. The members of an ensemble are fitted to bootstrap samples.

        >>> import torch
        >>> from pgm_control import learn_dynamics
        >>> draw = torch.Generator().manual_seed(0)
        >>> state, action, noise = (torch.randn(500, 1, generator=draw, dtype=torch.float64) for _ in range(3))
        >>> found = learn_dynamics(state, action, 0.9 * state + 0.5 * action + 0.3 * noise, seed=0)
        >>> float(found(0, torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)).stddev) < 0.4
        True

    Args:
        states, actions, next_states: one row for each transition, at least 10. Or `ContinuousTrajectories` alone, such
            as `posterior.true_blocks().sample(100)`, whose transitions are taken.
        ensemble_size: the number of members.
        hidden: the number of units of each hidden layer.
        num_epochs: the largest number of passes over the data.
        learning_rate: of Adam.
        batch_size: the number of transitions in a step.
        held_out: the part of the transitions that is held out.
        patience: the number of passes without improvement after which the fit has converged.
        seed: an integer, a generator, or None for torch's global generator.

    Returns:
        A `LearnedDynamics`, with its status and the held-out log-likelihood.

    Raises:
        InvalidArgument: if an argument does not fit; the message names it.

    References:
        [chua2018], [hastie2009], [lakshminarayanan2017]
    """
    data = _Data.of(*_transitions(states, actions, next_states))
    members, num_epochs = whole("ensemble_size", ensemble_size), whole("num_epochs", num_epochs)
    batch_size, patience = whole("batch_size", batch_size), whole("patience", patience)
    learning_rate, held_out = positive("learning_rate", learning_rate), fraction("held_out", held_out)
    count = len(data.inputs)
    kept = max(1, round(held_out * count))
    if kept > count // 2:
        raise InvalidArgument(f"`held_out` must be at most half of the transitions, but is {shown(held_out)}.")
    generator = generator_of(seed)
    order = torch.randperm(count, generator=generator)
    test, train = data.rows(order[:kept]), data.rows(order[kept:])
    networks = ParallelNetworks(
        data.inputs.shape[-1], 2 * data.changes.shape[-1], hidden, members, generator, data.inputs.dtype
    )
    picks = _bootstrap(len(train.inputs), members, generator)
    networks.start_at(*_least_squares(train, picks))
    best, scores, status, epochs = _descend(
        networks, train, test, picks, num_epochs, learning_rate, batch_size, patience, generator
    )
    networks.load_state_dict(best)
    networks.requires_grad_(False)
    in_units = scores - data.change_scale.log().sum()
    return LearnedDynamics(networks, data.input_mean, data.input_scale, data.change_scale, in_units, status, epochs)


@final
@dataclass(frozen=True, eq=False)
class _Data:
    """Transitions in units of their spread."""

    inputs: Float[Tensor, "transition input"]
    changes: Float[Tensor, "transition state"]
    input_mean: Float[Tensor, " input"]
    input_scale: Float[Tensor, " input"]
    change_scale: Float[Tensor, " state"]

    @classmethod
    def of(cls, states: ArrayLike, actions: ArrayLike, next_states: ArrayLike) -> "_Data":
        given = {"states": states, "actions": actions, "next_states": next_states}
        tables = {name: numbers(name, each, InvalidArgument) for name, each in given.items()}
        rows = len(tables["states"]) if tables["states"].ndim else 0
        for name, table in tables.items():
            if table.ndim != 2 or len(table) != rows or not table.shape[-1] or not bool(table.isfinite().all()):
                raise InvalidArgument(
                    f"`{name}` must have one finite row of coordinates for each of {rows} transitions, but is "
                    f"{shown(table)}{'' if bool(table.isfinite().all()) else ' with entries that are not finite'}."
                )
        if tables["states"].shape != tables["next_states"].shape:
            raise InvalidArgument(
                f"`next_states` must have the shape of `states`, {tuple(tables['states'].shape)}, but has "
                f"{tuple(tables['next_states'].shape)}."
            )
        if rows < _FEWEST:
            raise InvalidArgument(f"`states` must have at least {_FEWEST} rows, but has {rows}.")
        state, action, ahead = (each.double() for each in tables.values())
        inputs, changes = torch.cat((state, action), -1), ahead - state
        mean, scale, unit = inputs.mean(0), _spread(inputs), _spread(changes)
        return cls((inputs - mean) / scale, changes / unit, mean, scale, unit)

    def rows(self, index: Int[Tensor, " row"]) -> "_Data":
        return _Data(self.inputs[index], self.changes[index], self.input_mean, self.input_scale, self.change_scale)


def _transitions(states: Any, actions: Any, next_states: Any) -> tuple[Any, Any, Any]:
    """Rows of states, actions and next states, from three tables or from trajectories."""
    if not isinstance(states, ContinuousTrajectories):
        return states, actions, next_states
    if actions is not None or next_states is not None:
        raise InvalidArgument(
            "`actions` and `next_states` must be None beside ContinuousTrajectories, which hold them. Pass "
            "learn_dynamics(trajectories)."
        )
    path, acts = (
        numbers(name, each, InvalidArgument) for name, each in zip(("states", "actions"), states, strict=True)
    )
    if path.ndim != 3 or acts.ndim != 3 or path.shape[:2] != (acts.shape[0], acts.shape[1] + 1):
        raise InvalidArgument(
            f"`states` must be ContinuousTrajectories with states (N, T + 1, n) and actions (N, T, m), but have "
            f"{tuple(path.shape)} and {tuple(acts.shape)}."
        )
    return path[:, :-1].flatten(0, 1), acts.flatten(0, 1), path[:, 1:].flatten(0, 1)


def _spread(table: Tensor) -> Tensor:
    scale = table.std(0)
    return torch.where(scale > 0, scale, 1.0)


def _bootstrap(count: int, members: int, generator: torch.Generator | None) -> Int[Tensor, "member row"]:
    """The rows of each member: all of them for one, a sample with replacement for each of several."""
    if members == 1:
        return torch.arange(count)[None]
    return torch.randint(count, (members, count), generator=generator)


def _least_squares(train: _Data, picks: Int[Tensor, "member row"]) -> tuple[Tensor, Tensor]:
    """For each member the affine map (member, output, input) of the mean, with the log spread of its residual."""
    x = torch.cat((train.inputs, torch.ones_like(train.inputs[:, :1])), -1)[picks]
    y = train.changes[picks]
    fitted = torch.linalg.lstsq(x, y, driver="gelsd").solution
    log_scale = (y - x @ fitted).std(1).clamp_min(math.exp(_LOG_SCALES[0])).log().clamp(*_LOG_SCALES)
    slope = torch.cat((fitted[:, :-1].mT, torch.zeros_like(fitted[:, :-1].mT)), 1)
    return slope, torch.cat((fitted[:, -1], log_scale), -1)


def _descend(
    networks: ParallelNetworks,
    train: _Data,
    test: _Data,
    picks: Int[Tensor, "member row"],
    num_epochs: int,
    learning_rate: float,
    batch_size: int,
    patience: int,
    generator: torch.Generator | None,
) -> tuple[dict[str, Tensor], Float[Tensor, " member"], DynamicsStatus, int]:
    """Maximise the likelihood; the best parameters of each member, their held-out scores, the status, the epochs."""
    optimiser = torch.optim.Adam(networks.parameters(), learning_rate)
    start = {name: each.clone() for name, each in networks.state_dict().items()}
    affine = _scores(networks, test)
    best, scores, last, epoch, status = start, affine, 0, 0, DynamicsStatus.out_of_steps
    for epoch in range(1, num_epochs + 1):
        shuffled = picks[:, torch.randperm(picks.shape[-1], generator=generator)]
        for rows in shuffled.split(batch_size, -1):
            loss = -_log_likelihood(networks.each(train.inputs[rows]), train.changes[rows]).mean(-1).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        found = _scores(networks, test)
        if not bool(found.isfinite().all()):
            status = DynamicsStatus.not_finite
            break
        improved = found.mean(-1) > scores.mean(-1)
        if bool(improved.any()):
            last, scores = epoch, torch.where(improved[:, None], found, scores)
            best = _where(improved, networks.state_dict(), best)
        if epoch - last >= patience:
            status = DynamicsStatus.converged
            break
    is_better = _is_better(scores, affine)
    scores = torch.where(is_better[:, None], scores, affine)
    return _where(is_better, best, start), scores.mean(-1), status, epoch


def _where(rows: Bool[Tensor, " member"], one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of one for the members of these rows, and of the other for the rest."""
    return {
        name: torch.where(rows.reshape(-1, *(1,) * (each.dim() - 1)), one[name], each) for name, each in other.items()
    }


@torch.no_grad()
def _scores(networks: ParallelNetworks, test: _Data) -> Float[Tensor, "member transition"]:
    return _log_likelihood(networks(test.inputs), test.changes)


def _is_better(found: Float[Tensor, "member transition"], affine: Float[Tensor, "member transition"]) -> Tensor:
    """Whether the mean is larger by more than `_SURE` standard errors of the difference, by member."""
    gained = found - affine
    return gained.mean(-1) > _SURE * gained.std(-1, correction=0) / math.sqrt(gained.shape[-1])


def _log_likelihood(output: Tensor, changes: Tensor) -> Float[Tensor, "member transition"]:
    """log N of the changes in units of their spread."""
    shift, log_scale = _split(output)
    z = (changes - shift) * (-log_scale).exp()
    return (-0.5 * z.square() - log_scale - _HALF_LOG_2PI).sum(-1)


def _split(output: Float[Tensor, "*batch output"]) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation, which is bounded."""
    shift, log_scale = output.chunk(2, -1)
    return shift, log_scale.clamp(*_LOG_SCALES)


def _chosen(table: Float[Tensor, "member *batch coordinate"], member: Int[Tensor, "*some"]) -> Tensor:
    """The row of one member for each element of the batch."""
    index = member.expand(table.shape[1:-1])[None, ..., None].expand(1, *table.shape[1:])
    return table.gather(0, index).squeeze(0)
