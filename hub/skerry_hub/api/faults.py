"""Every answer that is not a success: one shape, one line that says what cannot be done and why."""

from __future__ import annotations

import logging

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from ..loops.planning import NeedsConfirmation
from ..people import PersonError
from ..store import StoreError
from .views import Refusal

LOG = logging.getLogger(__name__)
AnyRequest = Request[object, object, State]


class ApiError(Exception):
    """A refusal with its HTTP status. `then` is what to do about it."""

    def __init__(self, status: int, error: str, then: str = "", faults: tuple[str, ...] = ()) -> None:
        super().__init__(error)
        self.status = status
        self.refusal = Refusal(error, then, faults)


def nothing(kind: str, name: str) -> ApiError:
    """There is no such thing."""
    return ApiError(404, f"cannot find {kind} {name!r}: there is none")


def answer(status: int, refusal: Refusal) -> Response[Refusal]:
    """A refusal as a response."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(refusal, status_code=status, headers=headers, media_type="application/json")


def _ours(_: AnyRequest, error: ApiError) -> Response[Refusal]:
    return answer(error.status, error.refusal)


def _person(_: AnyRequest, error: PersonError) -> Response[Refusal]:
    return answer(409, Refusal(str(error)))


def _unconfirmed(_: AnyRequest, error: NeedsConfirmation) -> Response[Refusal]:
    return answer(409, Refusal(str(error), "confirm it with --confirm", error.nodes))


def _http(request: AnyRequest, error: HTTPException) -> Response[Refusal]:
    what = f"cannot {request.method} {request.url.path}"
    if error.status_code == 404:
        return answer(404, Refusal(f"{what}: there is no such page"))
    faults: tuple[str, ...] = ()
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        faults = tuple(_fault(entry) for entry in error.extra)
    # litestar repeats method and path in the details of what it could not validate.
    detail = error.detail.partition("Validation failed for")[0].strip() or "it is not what is expected there"
    return answer(error.status_code, Refusal(f"{what}: {detail}", faults=faults))


def _fault(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    return f"{entry.get('key', '')}: {entry.get('message', '')}".strip(": ")


def _deep(request: AnyRequest, _: RecursionError) -> Response[Refusal]:
    return answer(400, Refusal(f"cannot {request.method} {request.url.path}: the JSON is nested too deep"))


def _stuck(request: AnyRequest, error: StoreError) -> Response[Refusal]:
    """The hub's own disk; nothing was changed."""
    LOG.error("%s %s failed: %s", request.method, request.url.path, error)
    return answer(507, Refusal(str(error)))


def _broken(request: AnyRequest, error: Exception) -> Response[Refusal]:
    """Whatever nobody expected: the log has it whole, the caller learns that it was not their fault."""
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    what = f"cannot {request.method} {request.url.path}: a fault in the hub ({type(error).__name__})"
    return answer(500, Refusal(what, "the hub's log says more"))


HANDLERS: ExceptionHandlersMap = {
    ApiError: _ours,
    PersonError: _person,
    NeedsConfirmation: _unconfirmed,
    HTTPException: _http,
    RecursionError: _deep,
    StoreError: _stuck,
    Exception: _broken,
}
