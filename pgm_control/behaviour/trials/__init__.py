"""Tables of choices, their problems as one decision graph, and the log-probability of each choice."""

__all__: list[str] = []
