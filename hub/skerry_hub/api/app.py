"""The API as one application: its routes, its limits, its OpenAPI page (JSON alone, nothing from elsewhere)."""

from __future__ import annotations

from litestar import Litestar
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from ..hub import Hub
from . import (
    access,
    applying,
    apps,
    artifacts,
    doctor,
    events,
    logs,
    machine,
    network,
    nodes,
    region,
    resuming,
    system,
    tokens,
)
from .faults import HANDLERS
from .openapi import StructSchemas

BODY_MAX = 4 << 20


def application(hub: Hub) -> Litestar:
    """The ASGI application for `hub`."""
    return Litestar(
        route_handlers=[
            one.ROUTER
            for one in (
                access,
                applying,
                apps,
                artifacts,
                doctor,
                events,
                logs,
                machine,
                network,
                nodes,
                region,
                resuming,
                system,
                tokens,
            )
        ],
        state=State({"hub": hub}),
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_MAX,
        plugins=[StructSchemas()],
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Skerry hub",
            version="0.1.0",
            path="/schema",
            use_handler_docstrings=True,
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        ),
    )
