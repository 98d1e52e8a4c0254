"""The firewall by nft(8): one table set whole, and read back to see whether anybody has changed it since.

Skerry's table is known by its comment; one of the same name without it is the admin's, and is never replaced.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from asyncio.subprocess import PIPE
from dataclasses import dataclass

from ..firewall import TABLE
from ..state import Rules

_DEADLINE = 20.0
_COMMENT = '\tcomment "skerry '


class NftError(RuntimeError):
    """nft is missing or refuses; says what it printed."""


@dataclass(frozen=True)
class Kept:
    """What was set last, and the digest of what the kernel made of it, by which a change of somebody else shows."""

    mark: str = ""
    listing: str = ""


async def set_rules(rules: Rules, table: str = TABLE) -> Kept:
    """Replaces the table, all or nothing. No text: removes it. Raises NftError."""
    there = await _list(table)
    if there and not any(line.startswith(_COMMENT) for line in there.splitlines()):
        raise NftError(
            f"cannot set the firewall: there is a table '{table}' that is not Skerry's"
            f" (rename it, or remove it: nft delete table {table})"
        )
    text = rules.text or f"table {table}\ndelete table {table}\n"
    await _nft("-f", "-", words=text)
    return Kept(rules.mark, await _listing(table)) if rules.text else Kept()


async def read_rules(kept: Kept, table: str = TABLE) -> Rules:
    """`kept`'s where the table is as it was set; else none, so that it is set again."""
    return Rules(kept.mark) if kept.mark and await _listing(table) == kept.listing else Rules()


async def is_there(table: str = TABLE) -> bool:
    """Whether there is such a table, whatever is in it."""
    return await _list(table) != ""


async def _listing(table: str) -> str:
    text = await _list(table)
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


async def _list(table: str) -> str:
    """Nothing where there is none."""
    try:
        return await _nft("--stateless", "list", "table", *table.split())
    except NftError:
        return ""


async def _nft(*arguments: str, words: str = "") -> str:
    command = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if command is None:
        raise NftError("cannot set the firewall: there is no nft (install the package nftables)")
    process = await asyncio.create_subprocess_exec(command, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(_DEADLINE):
            out, err = await process.communicate(words.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NftError(f"cannot set the firewall: nft did not end within {_DEADLINE:.0f} s") from None
    if process.returncode != 0:
        said = err.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
        raise NftError(f"cannot set the firewall: nft: {said[0]}")
    return out.decode("utf-8", "replace")
