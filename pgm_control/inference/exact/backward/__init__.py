"""The backward sweep of exact inference, its derivatives, and the evidence that enters it."""

__all__: list[str] = []
