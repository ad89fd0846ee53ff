"""Many runs of one function: settings, engines that run them, and a file of results."""

__all__: list[str] = []
