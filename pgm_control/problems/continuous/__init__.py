"""Problems whose states and actions are real vectors."""

__all__: list[str] = []
