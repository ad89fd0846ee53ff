"""Evaluation of continuous models in closed form."""

__all__: list[str] = []
