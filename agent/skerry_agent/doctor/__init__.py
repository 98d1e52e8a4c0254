"""What a person asks first when a node does not work: the way to its hub and its own parts, looked at one by one."""
