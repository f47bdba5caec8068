"""Django: which view it takes, and what it calls the path. ASGI under uvicorn, and WSGI under wsgiref."""

from __future__ import annotations

import sys
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIServer, make_server

from django import setup
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path, re_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="no secret", MIDDLEWARE=[], DEBUG=False)
setup()


def view(name: str) -> Callable[..., HttpResponse]:
    def answer(request: HttpRequest, **_: Any) -> HttpResponse:
        return HttpResponse(f"{name}\n{request.path}\n{request.path_info}", content_type="text/plain")

    return answer


urlpatterns = [
    path("", view("root")),
    path("page/<str:name>", view("page")),
    path("account", view("account")),
    path("api/<str:version>/secret", view("secret")),
    re_path(r"^public(/|$)", view("public")),
    re_path(r"^admin(/|$)", view("admin")),
    re_path(r"^members(/|$)", view("members")),
    re_path(r"", view("any")),
]


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application(), server_class=Threaded).serve_forever()
else:
    app = get_asgi_application()
