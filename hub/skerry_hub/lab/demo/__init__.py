"""The rehearsal that `make demo` runs: what happens to scattered machines, done to three of them, with the times seen."""
