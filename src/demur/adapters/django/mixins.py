"""For views that are classes: `require` beside the other attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import ImproperlyConfigured

from demur.core.marks import Mark, require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class Requires:
    """A view for people who are signed in, and who hold what `require` asks for: one mark, or several. Put it first.

        class Report(Requires, TemplateView):
            require = demur.require("reports.view_report", fresh="15m")

    demur's middleware judges it before the view is made. Without that the view does not answer at all.
    """

    require: ClassVar[Mark | Sequence[Mark]] = require()

    @classmethod
    def marks(cls, given: Mapping[str, Any]) -> tuple[Mark, ...]:
        """What the view asks for; `given` is what `as_view` was given."""
        asked = given.get("require", cls.require)
        return (asked,) if isinstance(asked, Mark) else tuple(asked)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - a view's
        """Answer, if somebody has judged it."""
        passed = getattr(request, "demur", None)
        if passed is None or passed.left or passed.refused is not None:
            message = f"{type(self).__name__} is behind demur, and nobody has judged the request."
            raise ImproperlyConfigured(f"{message} Add demur.adapters.django.Middleware to MIDDLEWARE.")
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # the view's
        return answer
