"""Numbers and names as words, tables and HTML."""

__all__: list[str] = []
