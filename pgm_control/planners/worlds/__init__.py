"""Models as simulators whose state can be set, and the proposals of plans for them."""

__all__: list[str] = []
