"""A single random event: its certainty equivalent, and the cost of changing its probabilities."""

__all__: list[str] = []
