"""The region's network: what each node is told of it, and the hub's own tunnel."""
