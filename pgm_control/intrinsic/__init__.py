"""What an agent can make happen, without a reward from outside: skills that can be distinguished, and empowerment."""

__all__: list[str] = []
