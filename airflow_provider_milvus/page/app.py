"""The app behind the page: its files, which connections there are, and what a Milvus has. Nothing in it changes anything.

Airflow lets everybody in to the app of a plugin. So the app itself asks for a logged-in user who may read connections, at every
route; FastAPI's own pages and a folder of static files would not be asked for it, so there are none.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

FILES = {path.name: path for path in sorted((Path(__file__).parent / "files").iterdir())}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}
TOLD_WITHIN = 10.0
"""Seconds within which Airflow has to tell its connections, and whether a user may read them."""
REFUSALS = {
    401: "Log in to Airflow to see this page.",
    403: "Forbidden: you may not read Airflow's connections, and this page shows what they lead to.",
}
"""What a browser shows in place of the page."""


def make_app() -> FastAPI:
    """The app, which Airflow's API server mounts."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
    from airflow.api_fastapi.core_api.security import get_user, requires_access_connection
    from airflow.models.connection import Connection
    from fastapi import Depends, FastAPI, HTTPException
    from fastapi.exception_handlers import http_exception_handler
    from fastapi.responses import FileResponse, PlainTextResponse, Response

    from airflow_provider_milvus.page.sources import conn_ids

    app = FastAPI(
        title="Milvus",
        dependencies=[Depends(requires_access_connection("GET"))],
        openapi_url=None,
        redirect_slashes=False,
    )

    @app.exception_handler(HTTPException)
    async def refused(request: Any, error: HTTPException) -> Any:
        if error.status_code in REFUSALS:
            return PlainTextResponse(REFUSALS[error.status_code], error.status_code, {**HEADERS, **(error.headers or {})})
        return await http_exception_handler(request, error)

    def file(name: str) -> Response:
        if name not in FILES:
            raise HTTPException(404)
        return FileResponse(FILES[name], headers=HEADERS)

    def json(value: Any) -> Response:
        import orjson

        headers = {**HEADERS, "Cache-Control": "no-store"}
        return Response(orjson.dumps(value), media_type="application/json", headers=headers)

    @app.get("/", response_class=FileResponse)
    def page() -> Any:
        return file("index.html")

    @app.get("/files/{name}", response_class=FileResponse)
    def file_of_page(name: str) -> Any:
        return file(name)

    async def readable(user: Any) -> list[str]:
        def may_read(conn_id: str) -> bool:
            details = ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id))
            return bool(get_auth_manager().is_authorized_connection(method="GET", details=details, user=user))

        try:
            async with asyncio.timeout(TOLD_WITHIN):
                return await asyncio.to_thread(lambda: list(filter(may_read, conn_ids())))
        except TimeoutError:
            raise HTTPException(504) from None

    @app.get("/api/connections", response_class=Response)
    async def connections(user: Any = Depends(get_user)) -> Any:  # noqa: B008 - FastAPI's way
        return json({"connections": await readable(user)})

    @app.get("/api/connections/{connection_id}", response_class=Response)
    async def connection(connection_id: str, user: Any = Depends(get_user)) -> Any:  # noqa: B008
        from airflow_provider_milvus.page.content import content_of

        # Of other types of connections, and of those that there are not, nothing is told.
        if connection_id not in await readable(user):
            raise HTTPException(404)
        return json(await content_of(connection_id))

    return app
