"""Internal routing as users meet it; test_routing_beside_uwsgi.py compares it with uWSGI's."""

import base64
import os
import shutil
import socket
import subprocess

import pytest
from client import together
from front_end import ask_uwsgi
from requests_raw import get, post

from server import binary

APP = """
    import threading

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/raises":
            raise ValueError("as asked")
        status = environ.get("HTTP_X_STATUS", "200 OK")
        headers = [("Content-Type", "text/plain"), ("X-Powered-By", "app"), ("X-Kept", "1")]
        write = start_response(status, headers)
        if path == "/pieces":
            return (b"piece" for _ in range(3))
        body = environ["wsgi.input"].read()
        names = [*sorted(name for name in environ if name.startswith("V_")), "REMOTE_USER"]
        seen = [f"{name}={environ.get(name)}" for name in ["PATH_INFO", "SCRIPT_NAME", *names]]
        return ["\\n".join([*seen, f"body={body!r}"]).encode()]
"""


def ini(*rules, more=""):
    return "[uwsgi]\nhttp-socket = 127.0.0.1:0\nwsgi-file = app.py\n" + more + "\n".join(rules)


def started(serve, directory, *rules, more=""):
    directory.mkdir(exist_ok=True)
    (directory / "rules.ini").write_text(ini(*rules, more=more))
    return serve("--ini", "rules.ini", source=APP, directory=directory, listen=())


def basic(pair):
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def test_the_examples_of_the_page_start(serve, tmp_path):
    page = os.path.join(os.path.dirname(__file__), "..", "docs", "routing.md")
    with open(page) as text:
        blocks = [block for block in text.read().split("```ini\n")[1:]]
    rules = [
        line
        for block in blocks
        for line in block.split("```")[0].splitlines()
        if "route" in line.split("=")[0]
    ]
    assert len(rules) > 12
    (tmp_path / "users").write_text("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    server = started(serve, tmp_path, *rules)
    answer = server.ask("/x?y", headers={"Host": "www.example.org"})
    assert (answer.status, answer.headers["Location"]) == (301, "https://example.org/x?y")
    answer = server.ask("/x")
    assert answer.headers["Location"].startswith("https://127.0.0.1")


def test_answers_keep_the_connection_and_cost_no_worker(serve, tmp_path):
    server = started(
        serve, tmp_path,
        "route = ^/moved redirect:/new",
        "route = ^/denied break:403 Forbidden",
    )  # fmt: skip
    with server.connect() as client:
        for _ in range(2):
            answer = client.ask(get("/moved"))
            assert (answer.status, answer.body) == (302, b"Moved")
            answer = client.ask(post("/moved", b"a body that is read"))
            assert answer.status == 302
        # Several at once: they are answered in their order.
        client.send(get("/moved") + get("/app") + get("/moved"))
        assert [client.receive().status for _ in range(3)] == [302, 200, 302]
        answer = client.ask(get("/moved", method="HEAD"), "HEAD")
        assert (answer.status, answer.body) == (302, b"")
        assert client.ask(get("/denied")).status == 403
        client.assert_closed()
    log = server.wait_for_log(r"GET /denied => generated 0 bytes .*403")
    assert "|app: -1|req: -1/" in server.log() and log


def test_a_bare_break_closes_without_an_answer(serve, tmp_path):
    server = started(serve, tmp_path, "route-if = equal:${HTTP_HOST};bad break:")
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: bad\r\n\r\n")
        client.assert_closed()
    assert server.ask("/").status == 200


def test_changes_reach_the_application_and_stay_with_their_request(serve, tmp_path):
    server = started(
        serve, tmp_path,
        "route = ^/in/(.*)$ addvar:V_FROM=$1",
        "route = ^/in/ setuser:ann",
        "route = ^/in/(.*)$ rewrite:/out/$1",
    )  # fmt: skip
    with server.connect() as client:
        for _ in range(2):
            text = client.ask(post("/in/a%20b", b"12345")).body.decode()
            assert text == (
                "PATH_INFO=/out/a b\nSCRIPT_NAME=\nV_FROM=a b\nREMOTE_USER=ann\nbody=b'12345'"
            )
            text = client.ask(get("/other")).body.decode()
            assert text == "PATH_INFO=/other\nSCRIPT_NAME=\nREMOTE_USER=None\nbody=b''"
        chunked = get("/in/c", "Transfer-Encoding: chunked", method="POST")
        text = client.ask(chunked + b"3\r\nabc\r\n0\r\n\r\n").body.decode()
        assert text.endswith("body=b'abc'")
    server.wait_for_log(r"127\.0\.0\.1 \(ann\) .*POST /in/a%20b")


def test_http_1_0_is_framed_as_such_when_the_request_was_changed(serve, tmp_path):
    server = started(serve, tmp_path, "route-run = addvar:V_A=1")
    with server.connect() as client:
        answer = client.ask(get("/pieces", version="1.0"))
        assert answer.body == b"piecepiecepiece"
        assert answer.header("Transfer-Encoding") is None
        client.assert_closed()


def test_variables_of_a_front_end_are_changed_too(serve, tmp_path):
    server = started(
        serve, tmp_path,
        "route = ^/in redirect:/${REMOTE_USER}", "route-run = addvar:V_A=${REMOTE_USER}",
        more="uwsgi-socket = 127.0.0.1:0\n",
    )  # fmt: skip
    address = server.addresses()[1]
    answer = ask_uwsgi(address, "/in", REMOTE_USER="bob")
    assert ("Location", "/bob") in answer.headers
    assert b"V_A=bob" in ask_uwsgi(address, "/other", REMOTE_USER="bob").body


@pytest.mark.skipif(shutil.which("htpasswd") is None, reason="there is no htpasswd")
def test_slow_passwords_are_checked_beside_the_poll(serve, tmp_path):
    users = tmp_path / "users"
    for name, *flags in [("ann", "-bcBC", "10"), ("ben", "-bB"), ("cat", "-bm"), ("dan", "-bs")]:
        command = ["htpasswd", *flags, users, name, "secret"]
        subprocess.run(command, check=True, capture_output=True)
    server = started(serve, tmp_path, "route = ^/staff basicauth:Staff,users", more="threads = 2\n")
    for name in ("ann", "ben", "cat", "dan"):
        answer = server.ask("/staff", headers=basic(f"{name}:secret"))
        assert answer.status == 200 and f"REMOTE_USER={name}" in answer.text
        assert server.ask("/staff", headers=basic(f"{name}:Secret")).status == 401
    assert server.ask("/staff", headers=basic("eve:secret")).status == 401

    # Many wrong ones: requests without a password go on meanwhile.
    def one(number):
        path = "/free" if number % 2 else "/staff"
        return server.ask(path, headers=basic(f"ann:{number}")).status

    assert sorted(set(together(16, one))) == [200, 401]
    # A changed file counts at once.
    users.write_text("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    assert server.ask("/staff", headers=basic("ben:secret")).status == 401
    assert server.ask("/staff", headers=basic("ann:secret")).status == 200


def test_responses_are_changed_and_replaced(serve, tmp_path):
    (tmp_path / "sorry.html").write_text("<p>sorry</p>")
    server = started(
        serve, tmp_path,
        "error-route-status = 404 redirect-302:/search?for=${PATH_INFO}",
        "error-route-status = 500 file:filename=sorry.html,status=500 Sorry",
        "error-route-status = 410 clearheaders:404 Not Here",
        "response-route-run = remheader:X-Powered-By",
        "response-route-run = remheader:Server",
        "response-route = ^/ addheader:X-Status: ${uwsgi[status]}",
        "route = ^/rule break:404 Not Found",
    )  # fmt: skip
    answer = server.ask("/")
    assert answer.headers["X-Powered-By"] is None and answer.headers["X-Kept"] == "1"
    assert answer.headers["Server"] is None and answer.headers["X-Status"] == "200"
    for path in ("/app", "/rule"):
        answer = server.ask(path, headers={"X-Status": "404 Not Found"})
        assert (answer.status, answer.body) == (302, b"Moved")
        assert answer.headers["Location"] == f"/search?for={path}"
        assert answer.headers["X-Status"] == "302" and answer.headers["X-Kept"] is None
    answer = server.ask("/raises")
    assert (answer.status, answer.reason, answer.text) == (500, "Sorry", "<p>sorry</p>")
    answer = server.ask("/pieces", headers={"X-Status": "404 Not Found"})
    assert (answer.status, answer.body) == (302, b"Moved")
    answer = server.ask("/", headers={"X-Status": "410 Gone"})
    assert answer.status == 404 and answer.text.startswith("PATH_INFO=/")
    assert answer.headers["X-Kept"] is None


def test_static_files_pass_rules_before_and_behind(serve, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.txt").write_text("a file")
    (tmp_path / "secret").write_text("SECRET")
    server = started(
        serve, tmp_path,
        "route = ^/static/private break:403 Forbidden",
        "route = ^/named/(.*)$ static:files/$1",
        "route = ^/deep/(.*)$ rewrite:/static/$1",
        "response-route = ^/static addheader:X-From: files",
        more="static-map = /static=files\n",
    )  # fmt: skip
    answer = server.ask("/static/a.txt")
    assert (answer.text, answer.headers["X-From"]) == ("a file", "files")
    assert server.ask("/static/private/a.txt").status == 403
    assert server.ask("/deep/a.txt").text == "a file"
    assert server.ask("/named/a.txt").text == "a file"
    answer = server.ask("/named/a.txt", headers={"Range": "bytes=2-"})
    assert (answer.status, answer.text) == (206, "file")
    for outside in ("../secret", "%2e%2e/secret", "/etc/passwd", "x/../../secret", "none.txt"):
        answer = server.ask(f"/named/{outside}")
        assert answer.status == 404 and "SECRET" not in answer.text


def test_a_client_writes_no_headers_and_no_lines(serve, tmp_path):
    server = started(
        serve, tmp_path,
        "route = ^/to/((?s:.*))$ redirect:/x/$1",
        "route = ^/head/((?s:.*))$ addheader:X-A: $1",
        "route = ^/log/((?s:.*))$ log:seen $1",
    )  # fmt: skip
    answer = server.ask("/to/a%0d%0aX-Evil:%20yes")
    assert answer.headers["X-Evil"] is None
    assert answer.headers["Location"] == "/x/a%0D%0AX-Evil:%20yes"
    answer = server.ask("/head/a%0d%0aX-Evil:%20yes")
    assert answer.status == 200 and answer.headers["X-Evil"] is None
    server.wait_for_log("a header with a control character is left out")
    server.ask("/log/a%0aforged")
    server.wait_for_log(r"seen a\\nforged")


def test_the_log_line(serve, tmp_path):
    server = started(
        serve, tmp_path,
        "route = ^/health donotlog:",
        "route-run = logvar:kind=${HTTP_X_KIND}",
        "response-route-run = logvar:status=s${uwsgi[status]}",
        "final-route-status = 299 donotlog:",
        "final-route-run = logvar:size=b${uwsgi[rsize]}",
        more="log-format = %(uri) %(logvar.kind) %(logvar.status) %(logvar.size)\n",
    )  # fmt: skip
    server.ask("/health")
    server.ask("/odd", headers={"X-Status": "299 Odd"})
    size = len(server.ask("/seen", headers={"X-Kind": "k1"}).body)
    server.wait_for_log(rf"(?m)^/seen k1 s200 b{size}$")
    assert "/health" not in server.log() and "/odd" not in server.log()


def test_a_reload_reads_the_rules_again_and_refuses_bad_ones(serve, tmp_path):
    server = started(serve, tmp_path, "route = ^/a redirect:/one", more="touch-reload = touched\n")
    assert server.ask("/a").headers["Location"] == "/one"
    rules = tmp_path / "rules.ini"
    text = rules.read_text()
    rules.write_text(text.replace("/one", "/two"))
    (tmp_path / "touched").write_text("1")
    server.wait_until(lambda: server.ask("/a").headers["Location"] == "/two", what="the new rule")
    rules.write_text(text.replace("redirect", "redirct"))
    (tmp_path / "touched").write_text("22")
    server.wait_for_log("did you mean redirect")
    assert server.ask("/a").headers["Location"] == "/two"


def test_a_missing_file_of_users_ends_the_start(serve, tmp_path):
    (tmp_path / "rules.ini").write_text(ini("route = ^/ basicauth:x,nowhere"))
    server = serve("--ini", "rules.ini", source=APP, directory=tmp_path, listen=(), wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert "cannot read the htpasswd file" in server.log() and "rules.ini line 4" in server.log()


def test_signals_and_alarms_are_raised(serve, tmp_path):
    source = """
        import uwsgi

        def told(number):
            print("signal", number, "was raised", flush=True)

        uwsgi.register_signal(17, "", told)

        def application(environ, start_response):
            start_response("200 OK", [])
            return [b""]
    """
    (tmp_path / "rules.ini").write_text(
        ini(
            "route = ^/signal signal:17",
            "route = ^/alarm alarm:ops seen ${PATH_INFO}",
            more="alarm = ops log:\n",
        )
    )
    server = serve("--ini", "rules.ini", source=source, directory=tmp_path, listen=())
    server.ask("/signal")
    server.wait_for_log("signal 17 was raised")
    server.ask("/alarm")
    server.wait_for_log("seen /alarm")


def test_a_server_of_rules_needs_no_application(serve, tmp_path):
    (tmp_path / "rules.ini").write_text(
        "[uwsgi]\nhttp-socket = 127.0.0.1:0\nroute-run = redirect-301:https://example.org$0\n"
        "route-uri = ^(.*)$ redirect-301:https://example.org$1\n"
    )
    server = serve("--ini", "rules.ini", source=None, directory=tmp_path, listen=())
    assert server.ask("/a?b").status == 301


def test_a_request_in_pieces_is_routed_once_it_is_complete(serve, tmp_path):
    server = started(serve, tmp_path, "route = ^/slow redirect:/${CONTENT_LENGTH}")
    with socket.create_connection(server.address, 20) as client:
        client.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Le")
        client.sendall(b"ngth: 4\r\n\r\nab")
        client.sendall(b"cd")
        assert b"Location: /4" in client.recv(65536)


def test_the_list_of_routers():
    said = subprocess.run([binary(), "--router-list"], capture_output=True, text=True, check=True)
    assert "  redirect\n" in said.stdout and "  equal, isequal, eq, ==\n" in said.stdout
