"""Exact inference up to a horizon, by backward messages."""
