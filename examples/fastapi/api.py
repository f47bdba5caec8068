"""What the shed can be asked, and beside each operation who may ask."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, WebSocket
from pydantic import BaseModel, Field
from shed import Shed

import demur
from demur.adapters.fastapi import DOCS, Principal, identified, require

RULES = [*DOCS, {"path": "/**", "allow": "marked"}]
PERMISSIONS = {"tool:remove": ["wardens"]}


def shed_of(request: Request) -> Shed:
    """The shed of the app."""
    return request.app.state.shed


Tools = Annotated[Shed, Depends(shed_of)]
Anybody = Annotated[Principal | None, Depends(identified)]
Member = Annotated[Principal, Depends(require())]
Remover = Annotated[Principal, Depends(require("tool:remove", fresh="15m"))]


class Loan(BaseModel):
    """For how long somebody wants a tool."""

    days: int = Field(ge=1, le=14)


shed = APIRouter()
wardens = APIRouter(prefix="/wardens", dependencies=[Depends(require(groups=["wardens"]))])


@shed.get("/")
def index(reader: Anybody, tools: Tools) -> dict[str, object]:
    """Everybody may see what there is."""
    return {"reader": reader and reader.name, "tools": tools.tools()}


@shed.post("/tools/{key}")
def borrow(key: int, loan: Loan, who: Member, tools: Tools) -> dict[str, object]:
    """Members borrow it."""
    if not tools.write("UPDATE tool SET borrower = ? WHERE id = ? AND borrower IS NULL", who.name, key):
        raise demur.Refused(demur.Reason.NOT_PERMITTED, "Somebody else has it.")
    return {"id": key, "borrower": who.name, "days": loan.days}


@shed.delete("/tools/{key}", status_code=204)
def remove(key: int, who: Remover, tools: Tools) -> None:
    """Who holds the permission takes it away."""
    tools.write("DELETE FROM tool WHERE id = ?", key)


@shed.websocket("/watch")
async def watch(websocket: WebSocket, who: Member) -> None:
    """Says what there is, as often as a member asks."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        await websocket.send_json(websocket.app.state.shed.tools())


@wardens.get("/members")
def members(tools: Tools) -> list[str]:
    """Everybody who may borrow: for the wardens, as all of this router."""
    return [name for (name,) in tools.read("SELECT name FROM member ORDER BY name")]
