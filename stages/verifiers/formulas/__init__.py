"""Formulas as trees, and what they are worth."""
