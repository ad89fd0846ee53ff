"""One random event, and what changing its probabilities costs."""
