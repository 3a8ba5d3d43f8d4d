"""The application of the storm: one file that changes all the time, with a version number in each
answer.
"""

import subprocess
import sys
from pathlib import Path

#: Bytes of the body that a slow reader reads; more than the kernel's buffers of it hold.
BIG_BYTES = 600_000

#: The first lines of every kind of application. `work_seconds` burns a core, as the import of much
#: code does.
HEAD = """\
import time
{framework}
time.sleep({import_seconds})
end = time.thread_time() + {work_seconds}
while time.thread_time() < end:
    sum(range(1000))
VERSION = {version}
WORD = b"%d;" % VERSION


def pieces():
    for _ in range(5):
        time.sleep(0.002)
        yield WORD

"""

WSGI = """\

def application(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain")]
    if path == "/stream":
        start_response("200 OK", headers)
        return pieces()
    if path == "/big":
        body = WORD * ({big} // len(WORD))
    elif path == "/echo":
        body = WORD + b"%d" % len(environ["wsgi.input"].read())
    elif path == "/busy":
        time.sleep(0.01)
        body = WORD
    else:
        body = WORD
    start_response("200 OK", headers)
    return [body]
"""

#: A thread that never looks whether it should end.
DAEMON = """\
import threading


def beat():
    while True:
        time.sleep(0.01)


threading.Thread(target=beat, daemon=True).start()
"""

FLASK_IMPORTS = """\
import flask, sqlite3, threading
database = sqlite3.connect("storm.sqlite3", check_same_thread=False)
# Threads that use one connection at once get each other's statements.
one_at_a_time = threading.Lock()
"""

FLASK = """\
app = application = flask.Flask(__name__)


@app.get("/")
def index():
    with one_at_a_time:
        assert database.execute("select 1").fetchone() == (1,)
    return WORD, {{"Content-Type": "text/plain"}}


@app.get("/stream")
def stream():
    return flask.Response(pieces(), mimetype="text/plain")


@app.get("/big")
def big():
    return WORD * ({big} // len(WORD))


@app.get("/busy")
def busy():
    time.sleep(0.01)
    return WORD


@app.post("/echo")
def echo():
    return WORD + b"%d" % len(flask.request.get_data())
"""

#: The applications and the middleware of a project as `startproject` makes it, in one file.
DJANGO_IMPORTS = """\
import os
import sys
import threading
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for storms only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).with_name("storm.sqlite3"), "CONN_MAX_AGE": None}}}},
    INSTALLED_APPS=["django.contrib." + name for name in ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {{"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]}}}}],
    STATIC_URL="static/",
    DATA_UPLOAD_MAX_MEMORY_SIZE=200_000_000,
)
django.setup()
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
"""

DJANGO = """\
def answer(body):
    return HttpResponse(body, content_type="text/plain")


def index(request):
    assert User.objects.count() == 0
    return answer(WORD)


def stream(request):
    return StreamingHttpResponse(pieces(), content_type="text/plain")


def big(request):
    return answer(WORD * ({big} // len(WORD)))


def busy(request):
    time.sleep(0.01)
    return answer(WORD)


def echo(request):
    return answer(WORD + b"%d" % len(request.body))


urlpatterns = [path("admin/", admin.site.urls), path("", index)]
urlpatterns += [path(view.__name__, view) for view in (stream, big, busy, echo)]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
else:
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
"""

#: By kind: what is imported first, and the application.
KINDS = {
    "wsgi": ("", WSGI),
    "flask": (FLASK_IMPORTS + DAEMON, FLASK),
    "django": (DJANGO_IMPORTS.replace("{{", "{").replace("}}", "}") + DAEMON, DJANGO),
}

BROKEN = {
    "a syntax error": "def application(environ, start_response:\n",
    "an exception": "raise RuntimeError('broken on purpose')\n",
    "nothing to call": "apple = 1\n",
    "an import that is not there": "import surely_not_there\n",
}


class Site:
    """The application's file. Always whole: a new text takes the old one's place by a rename."""

    def __init__(self, folder, import_seconds=0.0, work_seconds=0.0, kind="wsgi"):
        self.path = Path(folder) / "app.py"
        framework, application = KINDS[kind]
        self.text = HEAD + application
        self.facts = {
            "import_seconds": import_seconds,
            "work_seconds": work_seconds,
            "framework": framework,
            "big": BIG_BYTES,
        }
        if kind == "django":
            self.version(0)
            subprocess.run([sys.executable, self.path, "migrate", "-v0"], cwd=folder, check=True)

    def write(self, text):
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.replace(self.path)

    def version(self, number):
        self.write(self.text.format(version=number, **self.facts))
