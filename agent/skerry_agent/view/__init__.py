"""What the node says of itself, to the hub and on its socket."""
