"""One random event, and what changing its probabilities costs."""

__all__: list[str] = []
