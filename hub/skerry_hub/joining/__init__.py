"""Letting machines in."""
