"""People and who is asking."""

from __future__ import annotations

from litestar import Router, delete, get, post
from litestar.params import FromPath, JSONBody

from ..people import Person, Role, add_person, people, person_token, revoke_person
from ..store import Transaction
from .auth import ADMIN, VIEWER, person_of
from .change import call_of
from .faults import AnyRequest, ApiError, nothing
from .views import PersonAsk, PersonMade, PersonView


def view(person: Person) -> PersonView:
    """A person as the API shows them."""
    return PersonView(person.name, person.role.value, person.made_at_ms, person.revoked_at_ms)


@get("/me", guards=[VIEWER])
async def me(request: AnyRequest) -> PersonView:
    """Who is asking."""
    return view(person_of(request))


@get("/people", guards=[ADMIN])
async def all_people(request: AnyRequest) -> list[PersonView]:
    """Everybody who may or might use the hub."""
    async with request.app.state.hub.store.read() as store:
        return [view(person) for person in await people(store)]


@post("/people", guards=[ADMIN])
async def make_person(request: AnyRequest, data: JSONBody[PersonAsk]) -> PersonMade:
    """Makes a person; the answer is the only place where their token is ever shown."""
    if data.role not in set(Role):
        raise ApiError(400, f"cannot add {data.name}: {data.role!r} is no role", f"one of {', '.join(Role)}")
    call = await call_of(request)
    secret = call.secret(data.name)

    async def effect(tx: Transaction) -> PersonView:
        await add_person(tx, data.name, Role(data.role), call.person.name, secret)
        return PersonView(data.name, data.role, 0)

    made = await call.change(PersonView, effect)
    return PersonMade(made.name, made.role, person_token(made.name, secret))


@delete("/people/{name:str}", guards=[ADMIN], status_code=200)
async def end_person(request: AnyRequest, name: FromPath[str]) -> PersonView:
    """Makes a person's token useless at once."""
    call = await call_of(request)

    async def effect(tx: Transaction) -> PersonView:
        try:
            return view(await revoke_person(tx, name, call.person.name))
        except KeyError as error:
            raise nothing("person", name) from error

    return await call.change(PersonView, effect)


ROUTER = Router("/api", route_handlers=[me, all_people, make_person, end_person], tags=["people"])
