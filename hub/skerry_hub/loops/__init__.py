"""From what operators want to what each node is told."""
