"""What may happen, and what it pays."""

__all__: list[str] = []
