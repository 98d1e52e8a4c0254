"""The rehearsal that `make demo` runs: what happens to scattered machines, done to three, with the times seen."""
