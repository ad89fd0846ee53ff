"""Normalise many short rows: torch takes about as long for a row of three outcomes as for one of thirty."""

import numpy as np

from .compiling import compiled, entry
from .vector_math import exp, log

Array = np.ndarray

BLOCK = 256  # rows processed at a time, transposed so that each outcome is a line of contiguous numbers
_LARGEST = 700.0  # the exponential of more overflows


@entry
def tilted(logits: Array, log_weight: Array, out: Array, probability: Array) -> None:
    """Store log softmax(log weight + logits), over the last axis, in `out`, and its exponential in `probability`.

    The weights have the shape of the logits, or a first axis of 1. An empty `probability` stays empty.
    """
    times, rows, outcomes = logits.shape
    width = min(BLOCK, rows)
    y, share, top, total = np.empty((outcomes, width)), np.empty((outcomes, width)), np.empty(width), np.empty(width)
    for t in range(times):
        weight = log_weight[t if log_weight.shape[0] > 1 else 0]
        for start in range(0, rows, BLOCK):
            block = min(BLOCK, rows - start)
            given, weights = logits[t, start : start + block], weight[start : start + block]
            for k in range(outcomes):
                for i in range(block):
                    y[k, i] = given[i, k] + weights[i, k]
            log_softmax(y, share, top, total, block)
            found = out[t, start : start + block]
            for k in range(outcomes):
                for i in range(block):
                    found[i, k] = y[k, i]
            if probability.size:
                shares = probability[t, start : start + block]
                for k in range(outcomes):
                    for i in range(block):
                        shares[i, k] = share[k, i]


@entry
def tilted_gradient(gradient: Array, probability: Array, out: Array) -> None:
    """Write the derivative with respect to the logits: g − p Σ g."""
    times, rows, outcomes = gradient.shape
    for t in range(times):
        for i in range(rows):
            given, share, found, total = gradient[t, i], probability[t, i], out[t, i], 0.0
            for k in range(outcomes):
                total += given[k]
            for k in range(outcomes):
                found[k] = given[k] - share[k] * total


@entry
def untilted(log_probability: Array, log_weight: Array, out: Array) -> bool:
    """Store log probability − log weight in `out`, or 0 where the weight is 0; whether a row has mass there.

    The weights have the shape of the rows, or a first axis of 1.
    """
    outside = 0
    for t in range(log_probability.shape[0]):
        given, found = log_probability[t].ravel(), out[t].ravel()
        weight = log_weight[t if log_weight.shape[0] > 1 else 0].ravel()
        for j in range(given.size):
            found[j] = given[j] - weight[j] if weight[j] > -np.inf else 0.0
        for j in range(given.size):
            outside += (weight[j] == -np.inf) & (given[j] > -np.inf)
    return outside > 0


@entry
def row_error(log_probability: Array) -> float:
    """The largest difference between 1 and the sum of a row (row, outcome) of probabilities; nan if there is one."""
    rows, outcomes = log_probability.shape
    width = min(BLOCK, rows)
    share, total, worst = np.empty(width * outcomes), np.empty(width), np.zeros(width)
    terms = share.reshape((width, outcomes))
    for start in range(0, rows, BLOCK):
        given = log_probability[start : start + BLOCK].ravel()
        for j in range(given.size):
            share[j] = min(given[j], _LARGEST)
        for j in range(given.size):
            share[j] = exp(share[j])
        block = given.size // outcomes
        for i in range(block):
            total[i] = -1.0
        for k in range(outcomes):
            for i in range(block):
                total[i] += terms[i, k]
        for i in range(block):
            off, before = abs(total[i]), worst[i]
            worst[i] = off if (off > before) | (off != off) else before
    most = 0.0
    for i in range(width):
        most = worst[i] if worst[i] > most or worst[i] != worst[i] else most
    return most


@compiled
def log_softmax(y: Array, share: Array, top: Array, total: Array, block: int) -> None:
    """Normalise `block` columns of y (outcome, row), in place, and store the probabilities in `share`.

    `top` and `total` are buffers. A column of −inf becomes nan.
    """
    for i in range(block):
        top[i] = y[0, i]
        total[i] = 0.0
    for k in range(1, y.shape[0]):
        for i in range(block):
            ours, theirs = y[k, i], top[i]
            top[i] = ours if ours > theirs else theirs
    for k in range(y.shape[0]):
        for i in range(block):
            each = exp(y[k, i] - top[i])
            share[k, i] = each
            total[i] += each
    for i in range(block):
        top[i] += log(total[i])
        total[i] = 1.0 / total[i]
    for k in range(y.shape[0]):
        for i in range(block):
            y[k, i] -= top[i]
            share[k, i] *= total[i]
