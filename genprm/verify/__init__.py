"""Verify: independent votes on every step of a solution, read out and aggregated."""
