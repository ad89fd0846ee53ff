"""Problems whose states and actions are vectors, as data."""
