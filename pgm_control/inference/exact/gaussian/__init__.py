"""Exact inference for linear-quadratic problems."""

__all__: list[str] = []
