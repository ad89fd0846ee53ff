"""The exercises of the course: what each asks, and the check of an answer."""

__all__: list[str] = []
