"""The Containerfile of docs/deploy/container.md: its command and its health check, for a Django."""

import json
import re
import subprocess
import sys
import textwrap

import pytest

from server import FOLDER

TEXT = (FOLDER.parent / "docs" / "deploy" / "container.md").read_text()
CONTAINERFILE = re.search(r"```dockerfile\n(.*?)```", TEXT, re.DOTALL).group(1)

DJANGO = """
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    settings.configure(
        ALLOWED_HOSTS=["shop.example"],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="x",
    )
    django.setup()
    urlpatterns = [path("", lambda request: HttpResponse("shop"))]
    application = WSGIHandler()
"""


def instruction(name):
    """The words of an instruction in its JSON form; the last one of that name."""
    lines = CONTAINERFILE.replace("\\\n", " ")
    found = re.findall(rf"^{name}\b[^\[\n]*(\[.*\])\s*$", lines, re.MULTILINE)
    return json.loads(found[-1])


def test_the_health_check_of_the_documented_container(serve, tmp_path):
    pytest.importorskip("django")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "wsgi.py").write_text(textwrap.dedent(DJANGO))
    arguments = ["127.0.0.1:0" if word == ":8000" else word for word in instruction("CMD")]
    server = serve(*arguments, source=None, directory=tmp_path, listen=())
    python, *check = instruction("HEALTHCHECK")
    assert python == "python3" and ":8000/" in check[1]
    check[1] = check[1].replace(":8000/", f":{server.port}/")
    assert subprocess.run([sys.executable, *check], timeout=30).returncode == 0
    assert server.ask().status == 400, "Django wants its own host"
    assert server.ask(headers={"Host": "shop.example"}).body == b"shop"
    server.stop()
    ended = subprocess.run([sys.executable, *check], timeout=30, stderr=subprocess.PIPE)
    assert ended.returncode == 1 and b"refused" in ended.stderr
