"""Training runs from the command line: the learners, their settings, and the log for TensorBoard."""

__all__: list[str] = []
