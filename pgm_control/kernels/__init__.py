"""Compiled loops (numba), and the choice between them and torch."""
