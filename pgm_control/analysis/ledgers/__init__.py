"""The ledger: where log p(O) − ELBO comes from, step by step and state by state."""

__all__: list[str] = []
