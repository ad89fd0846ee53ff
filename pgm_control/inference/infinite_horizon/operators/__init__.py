"""The Bellman operator: its tables, its sweeps, and what one sweep certifies."""

__all__: list[str] = []
