"""Evaluation: ``functional/`` holds the formulas, ``metrics/`` the registered, distributed metrics."""
