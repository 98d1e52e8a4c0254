"""The edge of the network plan: reading and changing what the kernel has. Nothing here decides anything."""
