"""Checks of the laws that every model and guide must satisfy, to run on your own class."""

from .checks import GuideReport as GuideReport
from .checks import ModelReport as ModelReport
from .checks import check_guide as check_guide
from .checks import check_model as check_model

__all__ = [
    "GuideReport",
    "ModelReport",
    "check_guide",
    "check_model",
]
