"""Pyro programs of any kind: their parameters, and the roles of their sites."""

__all__: list[str] = []
