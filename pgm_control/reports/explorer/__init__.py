"""The explorer: one static page that solves a problem while its settings are changed."""

from .page import explore as explore
from .page import explorer_page as explorer_page

__all__ = [
    "explore",
    "explorer_page",
]
