"""The table that a distribution of returns prints."""

from abc import ABC, abstractmethod

from ...text.tables import grid, html_grid

SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)  # the quantiles in the table


class ReturnsTable(ABC):
    """A distribution of returns, printed as a table."""

    @abstractmethod
    def _rows(self) -> list[tuple[str, str]]:
        """What is known of it, and its value in reward units."""

    def __str__(self) -> str:
        """The table as text, for a terminal."""
        return grid([("return", "reward")], self._rows())

    def _repr_html_(self) -> str:
        """The table as HTML, for a notebook."""
        return html_grid([("return", "reward")], self._rows())
