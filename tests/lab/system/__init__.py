"""The whole system on real machines of the lab: a hub, agents under systemd, the operator's commands."""
