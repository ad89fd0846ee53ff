"""Posteriors over rewards, optimism and temperature, given demonstrations; and who was watched, by evidence."""

__all__: list[str] = []
