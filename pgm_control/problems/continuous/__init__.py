"""Problems whose states and actions are vectors, as data."""

__all__: list[str] = []
