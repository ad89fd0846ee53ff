"""Compiled sweeps of linear-quadratic control: eight problems side by side, one in each lane of a vector."""

__all__: list[str] = []
