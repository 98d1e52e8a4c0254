"""Serves `skerry` to tests (see tests.forking): the command itself, but for the time that loading it takes."""

from skerry_hub.cli import edge, main, verbs  # noqa: F401 - what `main` loads when it is needed
from tests.forking import serve

if __name__ == "__main__":
    serve({"skerry": main})
