"""Draws, trains and scores the built-in model."""
