"""Guides: what the posterior is allowed to change."""

from .markov import MarkovGuide as MarkovGuide
from .free import FreeGuide as FreeGuide  # isort: skip
from .clamped import ClampedGuide as ClampedGuide  # isort: skip
