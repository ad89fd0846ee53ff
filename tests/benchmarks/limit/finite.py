"""The limit for exact inference with a horizon: `finite.c` and `batch.c` on a tabular model."""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgm_control import TabularModel

from .compiled import library, pointer

FREE, CLAMPED, LINEAR = 1, 0, 2  # LINEAR: free, with messages instead of their logs, which must fit a double
_LANES = 8
_FORBIDDEN = -1e6  # log of probability 0, as in lanes.h


@dataclass(eq=False)
class Limit:
    """A solver for one model and one β with buffers allocated beforehand, which `solve` fills for a reward."""

    model: TabularModel
    kind: int

    def __post_init__(self) -> None:
        mdp, kind = self.model.mdp, self.kind
        states, actions, outcomes = mdp.probability.shape
        if (actions, outcomes) != (4, 3):
            raise ValueError("The limit in C is for 4 actions with 3 outcomes.")
        width, steps = -(-states // _LANES) * _LANES, mdp.horizon
        own = np.arange(width, dtype=np.int32)
        p = np.zeros((outcomes, actions, width))
        p[:, :, states:] = 1 / outcomes
        p[:, :, :states] = mdp.probability.permute(2, 1, 0).numpy()
        self.successor = np.tile(own, (outcomes, actions, 1))
        self.successor[:, :, :states] = (
            torch.where(mdp.probability > 0, mdp.successor, torch.arange(states)[:, None, None])
            .permute(2, 1, 0)
            .numpy()
        )
        prior = np.full((actions, width), 1 / actions)
        prior[:, :states] = self.model.action_prior.T.numpy()
        with np.errstate(divide="ignore"):
            log_p = np.maximum(np.log(p), _FORBIDDEN)
        self.p = {FREE: log_p, CLAMPED: p, LINEAR: p * prior}[kind]
        self.log_prior = np.log(prior)
        self.initial = mdp.initial.numpy()
        self.q = np.empty((steps, actions, width))
        self.v = np.empty((steps + 1, width))
        self.flow = np.empty((steps, outcomes, actions, width))
        self.visits = np.empty((2, width))
        self.gradient = np.empty((states, actions, outcomes))
        call = library("finite").solve
        call.restype = ctypes.c_double
        kept = (self.successor, self.p, self.log_prior, self.initial)
        results = (self.q, self.v, self.gradient, self.flow, self.visits)
        numbers = (kind, steps, states, width, ctypes.c_double(self.model.temperature))
        before, after = (*numbers, *map(pointer, kept)), tuple(map(pointer, results))
        self._call = lambda reward: call(*before, ctypes.c_void_p(reward), *after)

    def solve(self, reward: np.ndarray) -> float:
        """The objective, in nats. Fills `q` (T, A, P), `v` (T+1, P) and `gradient` (S, A, K)."""
        return self._call(reward.ctypes.data)

    def wrapped(self) -> Any:
        """The solver as one torch.autograd.Function from the reward to (objective, q, v)."""
        states = self.model.mdp.num_states

        class Solve(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, reward: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
                found = torch.tensor(self._call(reward.data_ptr()), dtype=torch.float64)
                q = torch.from_numpy(self.q[..., :states]).transpose(-1, -2)
                v = torch.from_numpy(self.v[..., :states])
                ctx.mark_non_differentiable(q, v)
                return found, q, v

            @staticmethod
            def backward(ctx: Any, *cotangents: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
                return cotangents[0] * torch.from_numpy(self.gradient)

        return Solve.apply


class BatchLimit:
    """A solver for many settings of one model in lanes of 8; the number of settings must be a multiple of 8."""

    def __init__(self, model: TabularModel, temperature: np.ndarray, optimism: np.ndarray, reward: np.ndarray) -> None:
        mdp = model.mdp
        states, actions, outcomes = mdp.probability.shape
        blocks, rest = divmod(len(temperature), _LANES)
        if rest or (actions, outcomes) != (4, 3):
            raise ValueError("The batch limit in C is for multiples of 8 settings, 4 actions and 3 outcomes.")
        possible = mdp.probability > 0
        successor = torch.where(possible, mdp.successor, torch.arange(states)[:, None, None])
        self.given = (
            np.ascontiguousarray(temperature),
            np.ascontiguousarray(optimism),
            successor.to(torch.int32).contiguous().numpy(),
            mdp.probability.contiguous().numpy(),
            mdp.probability.log().clamp(min=_FORBIDDEN).contiguous().numpy(),
            model.action_prior.log().contiguous().numpy(),
            mdp.initial.numpy(),
            np.ascontiguousarray(np.moveaxis(reward.reshape(blocks, _LANES, -1), 1, 2)),
        )
        self.q = np.empty((blocks, mdp.horizon, states, actions, _LANES))
        self.v = np.empty((blocks, mdp.horizon + 1, states, _LANES))
        self.objective = np.empty(len(temperature))
        self.gradient = np.empty((blocks, states, actions, outcomes, _LANES))
        self.sizes = (_LANES, len(temperature), mdp.horizon, states)

    def solve(self) -> np.ndarray:
        """The objectives, in nats. Fills `q`, `v` and `gradient`."""
        results = (self.q, self.v, self.objective, self.gradient)
        if library("batch").solve_batch(*self.sizes, *map(pointer, self.given), *map(pointer, results)):
            raise MemoryError("The batch limit found no memory for its scratch.")
        return self.objective
