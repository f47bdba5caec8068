"""As `startproject` writes them, with the lines for demur."""

from __future__ import annotations

import os
from pathlib import Path

BASE = Path(os.environ.get("PROJECT_FOLDER", "."))
SECRET_KEY = "a secret of the tests"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "app.example.com"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "rest_framework.authtoken",
    "tests.adapters.django.project.shop",
    "demur.adapters.django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "demur.adapters.django.Middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "tests.adapters.django.project.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "db.sqlite3", "OPTIONS": {"timeout": 20}}
}
DATABASES["default"]["TEST"] = {"NAME": BASE / "test.sqlite3"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # enough to be a hash
USE_TZ = True
LOGIN_URL = "/accounts/login/"
CSRF_FAILURE_VIEW = "demur.adapters.django.csrf_failure"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING_CONFIG = None
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "demur.adapters.django.drf.Authentication",
        "rest_framework.authentication.TokenAuthentication",
    ],
    "EXCEPTION_HANDLER": "demur.adapters.django.drf.exception_handler",
}
DEMUR: dict[str, object] = {"name": "The shop"}
