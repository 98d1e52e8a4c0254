"""Who is asking, and whether their role is enough. Runs before a body is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from ..people import Person, Role, authenticate
from .faults import AnyRequest, ApiError

Connection = ASGIConnection[BaseRouteHandler, object, object, State]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


def needs(role: Role) -> Guard:
    """A guard that lets in whose role covers `role`."""

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        person = await _who(connection)
        if not person.role.covers(role):
            raise ApiError(
                403,
                f"cannot do this as {person.name}: it takes the role {role}, not {person.role}",
            )
        connection.state.person = person

    return guard


VIEWER, OPERATOR, ADMIN = (needs(role) for role in Role)


async def _who(connection: Connection) -> Person:
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise ApiError(401, "cannot say who is asking: there is no token", "send Authorization: Bearer TOKEN")
    async with connection.app.state.hub.store.read() as view:
        person = await authenticate(view, token.strip())
    if person is None:
        raise ApiError(
            401, "cannot let this token in: it is unknown or was revoked", "ask an admin for another"
        )
    return person


def person_of(request: AnyRequest) -> Person:
    """The person whom the guard let in."""
    person = request.state.person
    assert isinstance(person, Person)
    return person
