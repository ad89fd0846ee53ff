"""Pieces of files and data sets, shared by tabular and continuous problems."""

__all__: list[str] = []
