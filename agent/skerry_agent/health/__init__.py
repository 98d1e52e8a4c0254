"""What became of what was started."""
