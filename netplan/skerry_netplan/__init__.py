"""The network of a mesh as data: its model and addressing, one plan for each node."""
