"""Live Gymnasium environments of continuous problems, and the policies that act in them."""

__all__: list[str] = []
