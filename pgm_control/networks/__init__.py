"""Neural networks, and policies made of them."""

__all__: list[str] = []
