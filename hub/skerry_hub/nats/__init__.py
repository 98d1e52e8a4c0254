"""NATS: the server, and the hub's end of it."""
