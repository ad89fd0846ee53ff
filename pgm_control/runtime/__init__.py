"""Support for long computations: progress, interruption, files, versions."""

__all__: list[str] = []
