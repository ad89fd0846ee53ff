"""Compiled loops (numba), and the choice between them and torch."""

__all__: list[str] = []
