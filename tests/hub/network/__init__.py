"""Tests of the hub's part in the network."""
