"""Plots of problems whose states are vectors."""

__all__: list[str] = []
