"""What may happen, and what it pays."""
