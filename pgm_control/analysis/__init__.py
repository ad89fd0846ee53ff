"""What a guide believes, what it earns, and where the difference comes from."""

__all__: list[str] = []
