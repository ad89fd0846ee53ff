"""What only one process, or only one thread of a process, may do at a time."""

__all__: list[str] = []
