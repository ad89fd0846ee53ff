"""Losses for SVI and the methods that fit a guide."""

__all__: list[str] = []
