"""Search for the optima of a function, from one or several starts, and how it ended."""

__all__: list[str] = []
