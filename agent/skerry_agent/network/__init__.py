"""The node's network: what is tried, what holds, and which way leads to whom."""
