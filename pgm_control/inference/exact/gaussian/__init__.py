"""Exact inference for linear-quadratic problems."""
