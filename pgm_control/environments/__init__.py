"""Live Gymnasium environments: batches of them, whole episodes, a problem as an environment and back."""

__all__: list[str] = []
