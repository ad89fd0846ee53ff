"""Rewards, optimism and dynamics of linear-quadratic agents, from demonstrations."""

__all__: list[str] = []
