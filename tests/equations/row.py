"""One row of the table of equations, and the pieces of the library that rows share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from equations.enumeration import STEPS, TAU, tables
from pgm_control import ClampedGuide, TabularMDP, TabularModel


@dataclass(frozen=True)
class Row:
    """An equation with the function that computes it, the test of its law, and its picture.

    Attributes:
        chapter: of the course.
        name: its label in the pages.
        equation: in LaTeX.
        function: where it can be imported, such as "pgm_control.infer"; a test calls `sides` with a counted one.
        shown: how the function is written in the table.
        law: a test of the law on many problems, `path::name` below `tests/`.
        picture: a file of `examples/gallery/` without its ending.
        sides: the two sides of the equation as numbers, from the function and from sums over trajectories.
    """

    chapter: int
    name: str
    equation: str
    function: str
    shown: str
    law: str
    picture: str
    sides: Callable[[Any], tuple[Any, Any]]


def problem(discount=1.0):
    """The problem of the enumeration, as an MDP."""
    w = tables()
    return TabularMDP(w.initial, w.p, w.successor, w.r, horizon=STEPS, discount=discount)


def model(discount=1.0, temperature=TAU):
    """The model of the enumeration."""
    return TabularModel(problem(discount), temperature, tables().prior)


def random_policy(seed=1):
    """A policy of shape (T, S, A)."""
    return np.random.default_rng(seed).dirichlet(np.ones(2), (STEPS, 3))


def guide(policy):
    """A clamped guide with this policy."""
    found = ClampedGuide(model())
    found.assign(found.blocks().replace(log_policy=torch.as_tensor(policy).log()))
    return found


def numbers(table):
    """A tensor as an array."""
    return table.detach().numpy()
