"""The explorer: one static page on which a problem is solved as its settings are moved."""

from .page import explore as explore
from .page import explorer_page as explorer_page

__all__ = ["explore", "explorer_page"]
