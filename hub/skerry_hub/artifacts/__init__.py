"""Archives by digest."""
