"""The name of the environment whose dynamics are written as a simulator; it imports nothing slow."""

PENDULUM = "Pendulum-v1"
"""Its id in Gymnasium."""
