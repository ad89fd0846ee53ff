"""Models: what is likely, and what is good."""

from .tabular import TabularModel as TabularModel
