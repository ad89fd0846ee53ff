"""Other questions to the same model."""

__all__: list[str] = []
