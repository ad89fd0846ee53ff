"""Further queries to a model, beyond its posterior."""

__all__: list[str] = []
