# /// script
# dependencies = ["django>=5"]
# ///
"""A Django project in one file: a form with CSRF protection, sessions, sqlite and the admin's login page.

    just run examples/django_app.py
    open http://127.0.0.1:8000/ and http://127.0.0.1:8000/admin/

The database is a file in the temporary folder, made and migrated when the module is loaded. It is there for every
interpreter, so several of them (`--processes 2`) serve the same notes.
"""

import os
import tempfile
from pathlib import Path

import django
from django.conf import settings

DATABASE = (
    Path(tempfile.gettempdir())
    / f"singlemalt-django-{os.getuid() if hasattr(os, 'getuid') else 0}.sqlite3"
)

settings.configure(
    DEBUG=True,
    SECRET_KEY="for this example only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATABASE,
            # Interpreters that start together wait for each other's migration instead of failing.
            "OPTIONS": {"timeout": 30},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    STATIC_URL="static/",
    USE_TZ=True,
)
django.setup()

from django.contrib import admin  # noqa: E402 (Django must be set up first)
from django.contrib.staticfiles.urls import staticfiles_urlpatterns  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.shortcuts import redirect  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.http import require_http_methods  # noqa: E402

PAGE = """<!doctype html>
<title>Notes</title>
<h1>Notes of this session</h1>
<ul>{% for note in notes %}<li>{{ note }}{% empty %}<li>none yet{% endfor %}</ul>
<form method="post">{% csrf_token %}<input name="note" autofocus> <button>Add</button></form>
"""


@require_http_methods(["GET", "HEAD", "POST"])
def notes(request):
    if request.method == "POST":
        request.session["notes"] = [*request.session.get("notes", []), request.POST["note"]]
        return redirect("/")
    page = engines["django"].from_string(PAGE)
    return HttpResponse(page.render({"notes": request.session.get("notes", [])}, request))


urlpatterns = [
    path("", notes),
    path("admin/", admin.site.urls),
    *staticfiles_urlpatterns(),  # only with DEBUG; in production a web server or WhiteNoise does this
]


def migrate():
    """Makes the tables once: the first interpreter does it, the others find them there."""
    lock = DATABASE.with_suffix(".lock")
    with open(lock, "w") as held:
        try:
            import fcntl
        except ImportError:  # Windows: sqlite's own lock has to do
            pass
        else:
            fcntl.flock(held, fcntl.LOCK_EX)
        call_command("migrate", verbosity=0)


migrate()
application = get_wsgi_application()
