"""Evaluation of continuous models in closed form."""
