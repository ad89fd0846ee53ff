"""Conversion of scipy's sparse matrices to rows of outcomes, without importing scipy."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..errors import InvalidProblem, MissingExtra


class Rows(NamedTuple):
    """Rows of outcomes, padded with probability 0."""

    probability: Float[np.ndarray, "row outcome"]
    successor: Int[np.ndarray, "row outcome"]


def is_sparse(value: object) -> bool:
    """Return whether a value is a matrix or array of scipy.sparse, in any format."""
    return hasattr(value, "tocsr") and hasattr(value, "shape")


def rows_of(name: str, matrix: Any) -> Rows:
    """Return the nonzero entries of a sparse or dense matrix, row by row, in the order of their columns.

    Raises:
        InvalidProblem: if it is not a matrix, or is empty, or a row has only zeros.
    """
    if is_sparse(matrix):
        entries = matrix.tocsr().tocoo()  # the conversion to CSR adds duplicate entries
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
    """Return single entries of a sparse or dense matrix."""
    if is_sparse(matrix):
        found = matrix.tocsr()[row.ravel(), column.ravel()]
        return np.asarray(found, dtype=np.float64).reshape(row.shape)
    return np.asarray(matrix, dtype=np.float64)[row, column]


def csr(value: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> Any:
    """Return a scipy matrix in CSR format; duplicate entries are added.

    Raises:
        MissingExtra: without scipy.
    """
    try:
        from scipy import sparse  # pyright: ignore[reportMissingImports]  not a dependency
    except ImportError as problem:
        raise MissingExtra("A sparse matrix needs scipy, which is missing: pip install scipy") from problem
    return sparse.csr_matrix((value, (row, column)), shape=shape)
