"""Analyses of a guide: what it believes, what it earns, and where the difference comes from."""

__all__: list[str] = []
