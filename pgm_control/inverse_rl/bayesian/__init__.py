"""Posteriors over rewards, optimism and temperature, and comparison of demonstrators by their evidence."""

__all__: list[str] = []
