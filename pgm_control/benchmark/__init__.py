"""Benchmark of every guide on every problem: results are saved, resumed and shown on a page."""

__all__: list[str] = []
