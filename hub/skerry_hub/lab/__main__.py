"""`python -m skerry_hub.lab` is `skerry lab`."""

from .cli import lab

lab(prog_name="skerry lab")
