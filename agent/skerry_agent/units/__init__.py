"""Systemd units as text and as files."""
