"""`python -m skerry_hub.cli`."""

from . import main

main()
