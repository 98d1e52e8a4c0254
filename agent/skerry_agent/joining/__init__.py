"""Becoming a node, and who this machine is."""
