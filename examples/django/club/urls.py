"""Where everything is."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

import demur
from club import views

urlpatterns = [
    path("", views.start),
    path("accounts/login/", LoginView.as_view()),
    path("accounts/logout/", demur.public(LogoutView.as_view(next_page="/"))),
    path("plans/", views.plans),
    path("books/", views.books),
    path("board/", views.agenda),
    path("board/vote/", views.vote),
    path("minutes/", views.Minutes.as_view()),
    path("admin/", admin.site.urls),
]
