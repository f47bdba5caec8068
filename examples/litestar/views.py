"""The pages of the club, and beside each of them who may open it."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Router, delete, get, put
from litestar.datastructures import State  # noqa: TC002 - Litestar reads annotations
from litestar.params import FromPath, JSONBody  # noqa: TC002

import demur
from demur.adapters.litestar import Anybody  # noqa: TC001


class Plots(Controller):
    """Members plant them, and who holds the permission takes one away."""

    path = "/plots"

    @get()
    @demur.identified
    async def index(self, state: State, principal: Anybody) -> dict[str, Any]:
        """Everybody may see how the beans stand."""
        plots = {str(plot): beans for plot, beans in state.club.plots.items()}
        return {"reader": principal.name if principal else None, "plots": plots}

    @put("/{plot:int}")
    @demur.require()
    async def plant(self, state: State, plot: FromPath[int], data: JSONBody[dict[str, int]]) -> dict[str, int]:
        """Plant it anew."""
        if data["beans"] > 1000:
            raise demur.Refused(demur.Reason.NOT_PERMITTED, "No plot has room for more than 1000 beans.")
        state.club.plots[plot] = data["beans"]
        return {"plot": plot, "beans": data["beans"]}

    @delete("/{plot:int}")
    @demur.require("plot:remove", fresh="15m")
    async def clear(self, state: State, plot: FromPath[int]) -> None:
        """Take it away."""
        state.club.plots.pop(plot, None)


@get("/books")
async def books(state: State) -> dict[str, int]:
    """The board's own page: the mark of its router holds for all of them."""
    return {"beans": sum(state.club.plots.values())}


board = Router("/board", route_handlers=[books], opt={"demur": demur.require(groups=["board"])})
