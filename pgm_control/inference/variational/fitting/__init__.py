"""`fit`: its methods, losses, result and checkpoints."""

__all__: list[str] = []
