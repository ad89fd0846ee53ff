"""Conversion of scipy's sparse matrices to rows of outcomes; scipy, slow to import, is imported where it is used."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..errors import InvalidProblem
from ..problems import checks
from ..runtime.array_like import rounding
from .given import numbers


class Entries(NamedTuple):
    """The nonzero entries of a matrix of transitions, sorted by row and column."""

    row: Int[np.ndarray, " entry"]
    column: Int[np.ndarray, " entry"]
    probability: Float[np.ndarray, " entry"]

    @property
    def width(self) -> int:
        """The most entries of a row."""
        return int(np.bincount(self.row).max())


def is_sparse(value: object) -> bool:
    """Return whether a value is a matrix or array of scipy.sparse, in any format."""
    from scipy.sparse import issparse

    return bool(issparse(value))


def transitions_of(name: str, matrix: Any) -> Entries:
    """Return the nonzero entries of a sparse or dense matrix whose rows are distributions, normalised.

    Raises:
        InvalidProblem: if it is not a matrix, or a row is not a distribution.
    """
    if is_sparse(matrix):
        found = matrix.tocsr().tocoo()  # the conversion to CSR adds duplicate entries
        row, column = (np.asarray(each, dtype=np.int64) for each in (found.row, found.col))
        value, given = numbers(name, found.data, {1: "entry"}) if len(row) else np.zeros(0), found.data
        count = matrix.shape[0]
    else:
        dense, given = numbers(name, matrix, {2: "row, next state"}), matrix
        row, column = np.nonzero(dense)
        value, count = dense[row, column], len(dense)
    kept = value != 0
    order = np.lexsort((column[kept], row[kept]))
    row, column, value = row[kept][order], column[kept][order], value[kept][order]
    wrong = np.flatnonzero(~(value > 0))
    if len(wrong):
        i = wrong[0]
        raise InvalidProblem(f"`{name}[{row[i]}, {column[i]}]` must be a probability, but is {value[i]:g}.")
    lengths, total = np.bincount(row, minlength=count), np.bincount(row, value, count)
    if not lengths.all():
        empty = int(np.argmin(lengths)) if count else 0
        raise InvalidProblem(
            f"`{name}[{empty}]` must sum to 1, but holds nothing but zeros. Every row is a distribution over states."
        )
    off = np.flatnonzero(~(np.abs(total - 1) <= checks.slack(rounding(given), lengths)))
    if len(off):
        raise InvalidProblem(
            f"`{name}[{off[0]}]` must sum to 1, but sums to {total[off[0]]:.10g}. Divide by the sum, or correct "
            "an entry."
        )
    exact = np.abs(total - 1) <= np.finfo(np.float64).eps * lengths
    return Entries(row, column, value / np.where(exact, 1.0, total)[row])


def entries_of(matrix: Any, row: Int[np.ndarray, "*shape"], column: Int[np.ndarray, "*shape"]) -> np.ndarray:
    """Return single entries of a sparse or dense matrix."""
    if is_sparse(matrix):
        from scipy.sparse import csr_matrix  # whose entries have one type; those of an array depend on its version

        found = csr_matrix(matrix)[row.ravel(), column.ravel()]
        return np.asarray(found, dtype=np.float64).reshape(row.shape)
    return np.asarray(matrix, dtype=np.float64)[row, column]


def csr(value: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> Any:
    """Return a scipy matrix in CSR format; duplicate entries are added."""
    from scipy.sparse import csr_matrix

    return csr_matrix((value, (row, column)), shape=shape)
