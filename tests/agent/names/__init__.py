"""Tests of the node's resolver."""
