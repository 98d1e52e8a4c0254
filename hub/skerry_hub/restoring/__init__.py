"""A hub that is put back: its backup, and what its nodes know better."""
