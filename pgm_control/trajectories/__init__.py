"""Distributions over trajectories."""
