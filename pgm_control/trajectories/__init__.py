"""Distributions over trajectories."""

__all__: list[str] = []
