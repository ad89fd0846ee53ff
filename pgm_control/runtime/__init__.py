"""How a long computation runs: progress, interruption, files, versions."""
