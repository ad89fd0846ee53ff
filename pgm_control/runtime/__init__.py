"""How a long computation runs: progress, interruption, files, versions."""

__all__: list[str] = []
