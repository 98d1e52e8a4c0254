"""What hub and node agree on: messages, keys, apps. No I/O."""
