"""Every guide on every problem: runs that are kept, resumed and shown on a page."""

__all__: list[str] = []
