"""Estimates from samples of a guide: log-weights, bounds, sequential Monte Carlo."""

__all__: list[str] = []
