"""A Django site with the middleware that startproject writes: a hello, and a page made of a query
and a template.

The database is a file that `python django_site.py FILE` makes; servers find it in
SINGLEMALT_BENCH_DATABASE.
"""

import os
import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.template import engines
from django.urls import path

ROWS = 20
PAGE = """<!doctype html>
<title>{{ title }}</title>
<table>
{% for row in rows %}<tr class="{% cycle 'odd' 'even' %}"><td>{{ row.id }}<td>{{ row.name }}<td>{{ row.codename|upper }}
{% empty %}<tr><td>nothing
{% endfor %}</table>
<p>{{ rows|length }} rows, {{ request.path }}
"""

settings.configure(
    SECRET_KEY="only measured, never used",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("SINGLEMALT_BENCH_DATABASE") or sys.argv[-1],
            "CONN_MAX_AGE": None,
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    USE_TZ=True,
)


def hello(request):
    return HttpResponse("Hello\n", content_type="text/plain")


def page(request):
    from django.contrib.auth.models import Permission

    rows = list(Permission.objects.order_by("id")[:ROWS])
    text = page.template.render({"title": "Permissions", "rows": rows}, request)
    return HttpResponse(text)


urlpatterns = [path("", hello), path("page", page)]

if __name__ == "__main__":
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
else:
    application = get_wsgi_application()
    page.template = engines["django"].from_string(PAGE)
