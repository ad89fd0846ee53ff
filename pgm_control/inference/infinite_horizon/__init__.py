"""Exact values without a horizon, with error bounds."""

__all__: list[str] = []
