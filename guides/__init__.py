"""Guides: what the posterior is allowed to change."""

from .markov import MarkovGuide as MarkovGuide
from .free import FreeGuide as FreeGuide
from .clamped import ClampedGuide as ClampedGuide
