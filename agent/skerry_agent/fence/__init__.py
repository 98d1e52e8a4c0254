"""The second line of a lease: a process outside of agent and systemd that kills what outlived it."""
