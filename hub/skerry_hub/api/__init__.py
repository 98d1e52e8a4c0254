"""The hub's HTTPS API."""
