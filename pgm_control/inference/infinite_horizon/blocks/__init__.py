"""Value iteration over blocks of states, each in a process of its own."""

__all__: list[str] = []
