"""Episodes of planners from the command line: how they are run, and the files of a run."""

__all__: list[str] = []
