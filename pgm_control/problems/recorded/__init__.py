"""Problems estimated from recorded transitions."""

__all__: list[str] = []
