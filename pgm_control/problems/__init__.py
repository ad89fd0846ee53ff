"""Decision problems: their states, actions, outcomes and rewards."""

__all__: list[str] = []
