"""Networks and the policies made of them."""

__all__: list[str] = []
