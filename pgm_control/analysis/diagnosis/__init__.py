"""Diagnosis of a guide: is its family too small, or is it badly fitted?"""

__all__: list[str] = []
