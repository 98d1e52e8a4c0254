"""docs/api.md, from the routes themselves. `python -m skerry_hub.api.reference > docs/api.md` writes it anew."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from ..hub import Hub
from .app import application
from .auth import ADMIN, OPERATOR, VIEWER
from .nodes import WORDS

ROLES = {id(VIEWER): "viewer", id(OPERATOR): "operator", id(ADMIN): "admin"}
OWN = ("OPTIONS",)
PAGE = "/schema"
HEAD = """# The API

This page is made from the routes by `python -m skerry_hub.api.reference`; a test holds it to them. The hub serves
the whole of it as OpenAPI at `/schema/openapi.json`. There is no version in a path: fields are only added.

People send `Authorization: Bearer TOKEN`; each role may do what the one before it may: viewer, operator, admin. Before
sending that, check the hub: the certificate's key must be the one that `GET /join/delegation` names, signed by the mesh
root whose pin is in operator.toml. Bodies are JSON, an app file and an archive excepted. Routes without a role are for
machines, which prove themselves by token or key, and speak msgpack (see [protocol.md](protocol.md)); `/healthz` is
for anybody.

- Two who change at once: send `If-Match` with the `ETag` that you saw; 412 says that it is another by now. `apply`
  takes the revisions in `expect`, and 409 says it.
- A field that the hub does not know is refused, so that a misspelt one does not pass for one that was left out.
- A request that may have to be repeated: send `Idempotency-Key`; a repeat within a day gets the first answer.
- Refusals are JSON: `error` says what cannot be done and why, `then` what to do, `faults` lists all that is wrong.
"""


@dataclass(frozen=True)
class Row:
    """One route: who may, and what it does in its handler's own words."""

    method: str
    path: str
    role: str
    about: str


def rows() -> list[Row]:
    """Every route that is meant for others, sorted by path."""
    made = application(cast(Hub, None))  # routes need no hub until they are called
    return sorted(_rows(made), key=lambda row: (row.path, row.method))


def _rows(made: Litestar) -> Iterator[Row]:
    for route in made.routes:
        if isinstance(route, HTTPRoute) and not route.path.startswith(PAGE):
            for handler in route.route_handlers:
                yield from _of(route, handler)


def _of(route: HTTPRoute, handler: HTTPRouteHandler) -> Iterator[Row]:
    roles = [ROLES[id(guard)] for guard in handler.resolve_guards() if id(guard) in ROLES]
    about = " ".join(inspect.cleandoc(handler.fn.__doc__ or "").split())
    if "{word}" in route.path_format:
        about = f"{about} The words: {', '.join(WORDS)}."
    for method in sorted(handler.http_methods):
        if method not in OWN:
            yield Row(method, route.path_format, roles[0] if roles else "", about)


def render() -> str:
    """The whole page, as Markdown."""
    lines = [
        f"| `{row.method} {row.path}` | {row.role} | {row.about.replace('|', chr(92) + '|')} |"
        for row in rows()
    ]
    return "\n".join([HEAD, "| request | role | what it does |", "|---|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    print(render(), end="")
