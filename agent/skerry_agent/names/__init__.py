"""The node's resolver: the mesh's names from what is stored here, all others from where the machine asks."""
