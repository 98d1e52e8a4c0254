"""From what runs to what is to run."""
