"""A hub as a process of its own, and thousands of simulated agents that speak to it over real connections."""
