"""Posteriors over rewards, and over who was watched."""
