"""Numbers and names in words and tables."""

__all__: list[str] = []
