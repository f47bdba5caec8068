"""The pages of the shed, and beside each of them who may open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

import demur

if TYPE_CHECKING:
    from shed import Shed
    from starlette.requests import HTTPConnection, Request
    from starlette.websockets import WebSocket

RULES = [{"path": "/**", "allow": "marked"}]
PERMISSIONS = {"tool:remove": ["wardens"]}


def shed_of(connection: HTTPConnection) -> Shed:
    """The shed of the app, or of the one that this one is mounted in."""
    return connection.state.shed


@demur.identified
async def index(request: Request) -> JSONResponse:
    """Everybody may see what there is."""
    who = request.scope["demur"].subject
    return JSONResponse({"reader": who and who.name, "tools": await run_in_threadpool(shed_of(request).tools)})


@demur.require()
class Tool(HTTPEndpoint):
    """One tool: members borrow it, and who holds the permission takes it away."""

    async def post(self, request: Request) -> Response:
        """Borrow it."""
        who, key = request.scope["demur"].subject, request.path_params["key"]
        taken = "UPDATE tool SET borrower = ? WHERE id = ? AND borrower IS NULL"
        if not await run_in_threadpool(shed_of(request).write, taken, who.name, key):
            raise demur.Refused(demur.Reason.NOT_PERMITTED, "Somebody else has it.")
        return JSONResponse({"id": key, "borrower": who.name})

    @demur.require("tool:remove", fresh="15m")
    async def delete(self, request: Request) -> Response:
        """Take it away."""
        await run_in_threadpool(shed_of(request).write, "DELETE FROM tool WHERE id = ?", request.path_params["key"])
        return Response(status_code=204)


@demur.require()
async def watch(websocket: WebSocket) -> None:
    """Says what there is, as often as somebody asks."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        await websocket.send_json(await run_in_threadpool(shed_of(websocket).tools))


async def members(request: Request) -> JSONResponse:
    """Everybody who may borrow: for the wardens, as all that is mounted there."""
    rows = await run_in_threadpool(shed_of(request).read, "SELECT name FROM member ORDER BY name")
    return JSONResponse([name for (name,) in rows])


wardens = demur.require(groups=["wardens"])(Starlette(routes=[Route("/members", members)]))

ROUTES = [
    Route("/", index),
    Route("/tools/{key:int}", Tool),
    WebSocketRoute("/watch", watch),
    Mount("/wardens", app=wardens),
]
