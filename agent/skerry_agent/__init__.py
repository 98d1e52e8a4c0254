"""The node agent: keeps what the node is to run as systemd units on its own disk."""
