"""What the hub is to hear, kept until it has."""
