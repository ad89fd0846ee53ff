"""Sparse matrices of scipy, read without importing it, as rows of outcomes."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..errors import InvalidProblem, MissingExtra


class Rows(NamedTuple):
    """Rows of outcomes, padded with probability 0."""

    probability: Float[np.ndarray, "row outcome"]
    successor: Int[np.ndarray, "row outcome"]


def is_sparse(value: object) -> bool:
    """True of a matrix or array of scipy.sparse, whatever its format."""
    return hasattr(value, "tocsr") and hasattr(value, "shape")


def rows_of(name: str, matrix: Any) -> Rows:
    """The entries that are not 0 of a sparse or dense matrix, row by row, in the order of their columns.

    Raises:
        InvalidProblem: if it is no matrix, or empty.
    """
    if is_sparse(matrix):
        entries = matrix.tocsr().tocoo()  # by way of CSR, which adds up entries that stand twice
        row, column, value = (np.asarray(each) for each in (entries.row, entries.col, entries.data))
        count = int(entries.shape[0])
    else:
        dense = np.asarray(matrix, dtype=np.float64)
        if dense.ndim != 2:
            raise InvalidProblem(f"`{name}` must be a matrix, but has shape {dense.shape}. Pass two axes.")
        row, column = np.nonzero(dense)
        value, count = dense[row, column], len(dense)
    kept = value != 0
    row, column, value = row[kept], column[kept], value[kept].astype(np.float64)
    order = np.lexsort((column, row))
    row, column, value = row[order], column[order], value[order]
    lengths = np.bincount(row, minlength=count)
    if not len(lengths) or lengths.min() == 0:
        empty = int(np.argmin(lengths)) if len(lengths) else 0
        raise InvalidProblem(
            f"`{name}[{empty}]` must sum to 1, but holds nothing but zeros. Every row is a distribution over states."
        )
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    probability = np.zeros((count, int(lengths.max())))
    successor = np.zeros(probability.shape, np.int64)
    probability[row, place], successor[row, place] = value, column
    return Rows(probability, successor)


def entries_of(matrix: Any, row: Int[np.ndarray, "*shape"], column: Int[np.ndarray, "*shape"]) -> np.ndarray:
    """Single entries of a sparse or dense matrix."""
    if is_sparse(matrix):
        found = matrix.tocsr()[row.ravel(), column.ravel()]
        return np.asarray(found, dtype=np.float64).reshape(row.shape)
    return np.asarray(matrix, dtype=np.float64)[row, column]


def csr(value: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> Any:
    """A matrix in compressed rows; entries that stand twice are added.

    Raises:
        MissingExtra: without scipy.
    """
    try:
        from scipy import sparse  # pyright: ignore[reportMissingImports]  not one of ours
    except ImportError as problem:
        raise MissingExtra("A sparse matrix needs scipy, which is missing: pip install scipy") from problem
    return sparse.csr_matrix((value, (row, column)), shape=shape)
