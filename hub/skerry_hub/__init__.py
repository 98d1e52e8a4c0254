"""The hub: one region's control plane, its command line and its lab."""
