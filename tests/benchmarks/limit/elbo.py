"""The limit for the exact ELBO and its gradient: `elbo.c` on a tabular model."""

import ctypes

import numpy as np
from torch import Tensor

from pgm_control import TabularModel

from .compiled import library, pointer
from .finite import CLAMPED, FREE, Limit


class ElboLimit:
    """A guide of logits, initially zero: `policy` (T, A, P) and, for a free guide, `dynamics` (T, K, A, P)."""

    def __init__(self, model: TabularModel, free: bool) -> None:
        tables = {kind: Limit(model, kind) for kind in (FREE, CLAMPED)}
        like, log_p, p = tables[FREE], tables[FREE].p, tables[CLAMPED].p
        self.policy, self.dynamics = np.zeros_like(like.q), np.zeros_like(like.flow if free else like.flow[:0])
        self.by_policy, self.by_dynamics = np.empty_like(self.policy), np.empty_like(self.dynamics)
        self.states, self.free, flow = model.mdp.num_states, free, like.flow
        gain = np.zeros_like(p)
        gain[..., : self.states] = (model.mdp.reward / model.temperature).permute(2, 1, 0).numpy()
        steps, width = like.q.shape[0], like.q.shape[-1]
        call = library("elbo").elbo
        call.restype = ctypes.c_double
        self._kept = (like.successor, p, log_p, gain, like.log_prior, like.initial, self.policy, self.dynamics, flow)
        arrays = tuple(map(pointer, (*self._kept, self.by_policy, self.by_dynamics)))
        self.evaluate = lambda: call(int(free), steps, self.states, width, *arrays)

    def take(self, policy: Tensor, dynamics: Tensor | None = None) -> None:
        """Set the logits, given in the layout of the guides: (T, S, A) and (T, S, A, K)."""
        self.policy[..., : self.states] = policy.detach().permute(0, 2, 1).numpy()
        if dynamics is not None:
            self.dynamics[..., : self.states] = dynamics.detach().permute(0, 3, 2, 1).numpy()
