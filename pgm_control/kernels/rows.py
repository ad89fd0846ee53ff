"""Normalise many short rows: torch takes about as long for a row of three outcomes as for one of thirty."""

import numpy as np

from .compiling import entry
from .vector_math import exp, log

Array = np.ndarray

_BLOCK = 256  # rows processed at a time, transposed so that each outcome is a line of contiguous numbers


@entry
def tilted(logits: Array, log_weight: Array, out: Array, probability: Array) -> None:
    """Store log softmax(log weight + logits), over the last axis, in `out`, and its exponential in `probability`.

    The weights have the shape of the logits, or a first axis of 1.
    """
    times, rows, outcomes = logits.shape
    y, top, total = np.empty((outcomes, _BLOCK)), np.empty(_BLOCK), np.empty(_BLOCK)
    for t in range(times):
        weight = log_weight[t if log_weight.shape[0] > 1 else 0]
        for start in range(0, rows, _BLOCK):
            block = min(_BLOCK, rows - start)
            given, weights = logits[t, start : start + block], weight[start : start + block]
            for k in range(outcomes):
                for i in range(block):
                    y[k, i] = given[i, k] + weights[i, k]
            for i in range(block):
                top[i] = y[0, i]
                total[i] = 0.0
            for k in range(1, outcomes):
                for i in range(block):
                    ours, theirs = y[k, i], top[i]
                    top[i] = ours if ours > theirs else theirs
            for k in range(outcomes):
                for i in range(block):
                    total[i] += exp(y[k, i] - top[i])
            for i in range(block):
                top[i] += log(total[i])
            found, share = out[t, start : start + block], probability[t, start : start + block]
            for k in range(outcomes):
                for i in range(block):
                    y[k, i] -= top[i]
                for i in range(block):
                    found[i, k] = y[k, i]
                for i in range(block):
                    y[k, i] = exp(y[k, i])
                for i in range(block):
                    share[i, k] = y[k, i]


@entry
def tilted_gradient(gradient: Array, probability: Array, out: Array) -> None:
    """Write the derivative with respect to the logits: g − p Σ g."""
    times, rows, outcomes = gradient.shape
    for t in range(times):
        for i in range(rows):
            total = 0.0
            for k in range(outcomes):
                total += gradient[t, i, k]
            for k in range(outcomes):
                out[t, i, k] = gradient[t, i, k] - probability[t, i, k] * total
