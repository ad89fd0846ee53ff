"""Compiled loops on disk, for any number of processes at once."""

__all__: list[str] = []
