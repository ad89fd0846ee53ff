"""Numbers and names in words and tables."""
