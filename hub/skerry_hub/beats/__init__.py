"""Who is there, and what it may run."""
