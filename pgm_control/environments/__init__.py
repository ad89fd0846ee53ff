"""Gymnasium environments: vectors of them, whole episodes, and conversions between problems and environments."""

__all__: list[str] = []
