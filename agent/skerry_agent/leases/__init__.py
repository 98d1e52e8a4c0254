"""Beats, and the right to run what is fenced."""
