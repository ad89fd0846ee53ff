"""Quadratic approximations of problems whose states and actions are vectors, and iLQG."""

__all__: list[str] = []
