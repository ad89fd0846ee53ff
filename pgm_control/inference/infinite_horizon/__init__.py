"""Exact values without a horizon, with error bounds."""
