"""Other questions to the same model."""
