from mysite.settings import *

INSTALLED_APPS += ["demur.adapters.django"]
MIDDLEWARE.insert(
    MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1,
    "demur.adapters.django.Middleware",
)
