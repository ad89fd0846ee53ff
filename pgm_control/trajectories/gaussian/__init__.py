"""Affine-Gaussian distributions over trajectories: the backward sweep, moments, samples."""

__all__: list[str] = []
