"""Posteriors over trajectories: exact, without a horizon, variational, and by sampling."""

__all__: list[str] = []
