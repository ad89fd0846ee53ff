"""Exact inference within a budget of nats: the multipliers that spend it."""

__all__: list[str] = []
