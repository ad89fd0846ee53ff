"""The losses of the learners."""
