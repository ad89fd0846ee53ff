"""Losses for SVI and the methods that fit a guide."""
