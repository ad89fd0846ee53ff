"""The explorer: one static page on which a problem is solved as its settings are moved."""

from ._explore import explore as explore
from ._explore import explorer_page as explorer_page
