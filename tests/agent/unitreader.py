"""Reads a unit file as systemd.syntax(7) says: sections, continuation lines, comments. For tests of the writer."""

import re


def read(text: str) -> dict[str, list[tuple[str, str]]]:
    """Section → (key, value) in order. Fails where systemd would warn."""
    found: dict[str, list[tuple[str, str]]] = {}
    section, held = "", ""
    for line in re.split("[\n\r\0]", text):
        if held:
            line = held + line  # noqa: PLW2901 - the continuation is one line with what it continues
            held = ""
        elif line.startswith(("#", ";")) or not line.strip():
            continue
        if line.endswith("\\"):
            held = line[:-1] + " "
            continue
        if line.startswith("["):
            section = line.strip()[1:-1]
            found.setdefault(section, [])
            continue
        key, equals, value = line.partition("=")
        assert equals, line
        found[section].append((key.strip(), value.strip()))
    assert not held
    return found


def keys(text: str) -> dict[str, list[str]]:
    """Section → its keys in order."""
    return {section: [key for key, _ in lines] for section, lines in read(text).items()}
