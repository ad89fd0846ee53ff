"""What an agent can make happen, without a reward from outside: skills that can be told apart, and empowerment."""

__all__: list[str] = []
