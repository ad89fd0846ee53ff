"""Exact inference up to a horizon, by backward messages."""

__all__: list[str] = []
