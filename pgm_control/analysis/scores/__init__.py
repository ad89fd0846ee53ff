"""Results of evaluation."""
