"""Where everything is."""

# mypy: disable-error-code="misc, import-untyped, attr-defined, unused-ignore"
from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter
from tests.adapters.django.project import apis, views

import demur

demur_groups = demur.require(groups=["editors"])
router = SimpleRouter()
router.register("items", apis.Items, basename="item")
router.register("actions", apis.Actions, basename="action")

urlpatterns = [
    path("", views.home),
    path("accounts/login/", LoginView.as_view(template_name="admin/login.html"), name="login"),
    path("accounts/logout/", LogoutView.as_view(next_page="/accounts/login/")),
    path("staff/login/", LoginView.as_view(template_name="admin/login.html")),
    path("sign-out/", views.sign_out),
    path("admin/", admin.site.urls),
    *(
        path(f"{name.replace('_', '-')}/", getattr(views, name))
        for name in (
            *("mine", "amine", "by_permission", "by_exception", "staff", "denied", "forbidden", "refused", "said"),
            *("read_messages", "member", "amember", "report", "areport", "edit", "fresh", "public", "identified"),
            *("open_by_django", "unmarked", "hook", "protected", "streamed", "asks", "plain"),
        )
    ),
    path("mixed/", views.Mixed.as_view()),
    path("permitted/", views.Permitted.as_view()),
    path("marked/", views.Marked.as_view()),
    path("by-method/", views.ByMethod.as_view()),
    path("decorated/", views.Decorated.as_view()),
    path("decorated-twice/", views.DecoratedTwice.as_view()),
    path("with-mixin/", views.WithMixin.as_view()),
    path("with-mixin/given/", views.WithMixin.as_view(require=demur_groups)),
    re_path(r"^years/(?P<year>[0-9]{4})/$", views.unmarked),
    path("things/<int:pk>/<slug:name>/", views.unmarked),
    path("api/mine/", apis.mine),
    path("api/admins/", apis.admins),
    path("api/anybody/", apis.anybody),
    path("api/closed/", apis.Closed.as_view()),
    path("api/", include(router.urls)),
    path("ninja/", apis.api.urls),
]
