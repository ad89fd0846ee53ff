"""The losses of the learners."""

__all__: list[str] = []
