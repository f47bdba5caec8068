"""The pages of the club, and beside each of them who may open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quart import Blueprint, current_app, g, request, websocket
from quart.views import MethodView

import demur

if TYPE_CHECKING:
    from club import Club

plots = Blueprint("plots", __name__, url_prefix="/plots")
board = demur.require(groups=["board"])(Blueprint("board", __name__, url_prefix="/board"))


def club() -> Club:
    """The club of this app."""
    return current_app.extensions["club"]


@plots.get("/")
@demur.identified
async def index() -> dict[str, object]:
    """Everybody may see how the beans stand."""
    return {"reader": g.demur.subject.name if g.demur.subject else None, "plots": club().plots}


@plots.websocket("/news")
@demur.require()
async def news() -> None:
    """Members are told at once."""
    await websocket.accept()
    await websocket.send_json(club().plots)


class Plot(MethodView):
    """One plot: members plant it, and who holds the permission takes it away."""

    @demur.require()
    async def put(self, plot: int) -> dict[str, object]:
        """Plant it anew."""
        beans = int((await request.get_json())["beans"])
        if beans > 1000:
            raise demur.Refused(demur.Reason.NOT_PERMITTED, "No plot has room for more than 1000 beans.")
        club().plots[plot] = beans
        return {"plot": plot, "beans": beans}

    @demur.require("plot:remove", fresh="15m")
    async def delete(self, plot: int) -> tuple[str, int]:
        """Take it away."""
        club().plots.pop(plot, None)
        return "", 204


plots.add_url_rule("/<int:plot>", view_func=Plot.as_view("plot"))


@board.get("/books")
async def books() -> dict[str, object]:
    """The board's own page: the mark of the blueprint holds for all of them."""
    return {"beans": sum(club().plots.values())}
