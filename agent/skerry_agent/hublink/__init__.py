"""The ways to a hub."""
