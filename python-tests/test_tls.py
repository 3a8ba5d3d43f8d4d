"""HTTPS with Python's ssl as the client: versions, the choice of certificates, and everything that
works without TLS.
"""

import os
import re
import signal
import ssl
import subprocess
import time

import pytest
from certificates import FORMS, Authority, HandMadeTls, TlsConnection
from client import Closed, Connection
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from requests_raw import chunked, get, post

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
ENVIRON = ("HTTPS", "wsgi.url_scheme", "HTTPS_DN", "HTTPS_CC", "SERVER_PORT", "REMOTE_ADDR")


@pytest.fixture(scope="session")
def authority():
    return Authority()


def https(address, certificate, key, *more):
    return ["--https", ",".join([address, str(certificate), str(key), *more])]


@pytest.fixture(scope="module")
def echo(serve_module, authority, tmp_path_factory):
    files = authority.files(tmp_path_factory.mktemp("echo"))
    return serve_module(*https("127.0.0.1:0", *files), "--threads", "2", app="echo.py", listen=())


@pytest.fixture(scope="module")
def responses(serve_module, authority, tmp_path_factory):
    files = authority.files(tmp_path_factory.mktemp("responses"))
    return serve_module(*https("127.0.0.1:0", *files), app="responses.py", listen=())


def environ_of(server, context, host="localhost", listener=0):
    with TlsConnection(server.addresses()[listener], context, host) as connection:
        environ = connection.ask(get("/environ")).json()["environ"]
        return {key: environ[key] for key in ENVIRON if key in environ}


# The protocol


@pytest.mark.parametrize("version", VERSIONS)
def test_both_versions(echo, authority, version):
    with TlsConnection(echo.address, authority.context(version)) as connection:
        assert connection.socket.version() == version.name.replace("_", ".")
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            answer = connection.ask(post("/", b"body")).json()
            assert answer["body"] == "body"
            assert answer["environ"]["wsgi.url_scheme"] == "https"
            assert answer["environ"]["HTTPS"] == "on"
            assert answer["environ"]["REMOTE_ADDR"] == "127.0.0.1"


def test_the_report_names_the_scheme(echo):
    assert re.search(r"^listening on https://127\.0\.0\.1:[0-9]+$", echo.log(), re.MULTILINE)


def test_a_client_without_alpn(echo, authority):
    with TlsConnection(echo.address, authority.context(protocols=())) as connection:
        assert connection.ask(get()).status == 200


def test_a_client_that_offers_more(echo, authority):
    with TlsConnection(echo.address, authority.context(protocols=("h2", "http/1.1"))) as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"


def test_a_client_that_speaks_nothing_we_speak(echo, authority):
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        TlsConnection(echo.address, authority.context(protocols=("h2",)))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_taken_up_again(echo, authority, version):
    context = authority.context(version)
    with TlsConnection(echo.address, context) as first:
        assert first.ask(get()).status == 200
        assert not first.socket.session_reused
        session = first.socket.session
    with TlsConnection(echo.address, context, session=session) as second:
        assert second.socket.session_reused
        assert second.ask(post("/", b"again")).json()["body"] == "again"


def test_the_end_is_told(echo, authority):
    with TlsConnection(echo.address, authority.context()) as connection:
        assert connection.ask(get("/", "Connection: close")).status == 200
        # A stream that is cut raises SSLEOFError here.
        assert connection.socket.recv(1) == b""


def test_tls_over_a_unix_socket(serve, authority, tmp_path):
    files = authority.files(tmp_path)
    server = serve(*https("tls.sock", *files), app="echo.py", listen=(), directory=tmp_path)
    assert server.urls() == ["https+unix:tls.sock"]
    with TlsConnection(str(tmp_path / "tls.sock"), authority.context()) as connection:
        environ = connection.ask(get()).json()["environ"]
        assert (environ["wsgi.url_scheme"], environ["SERVER_PORT"]) == ("https", "443")


def test_curl(echo, authority, tmp_path):
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    url = f"https://localhost:{echo.port}/path?query"
    command = [
        "curl",
        "-sS",
        "--http1.1",
        "--cacert",
        tmp_path / "ca.pem",
        "--connect-to",
        "::127.0.0.1:",
    ]
    done = subprocess.run([*command, url, "--data", "a=1", url], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b'"wsgi.url_scheme": "https"') == 2


# Everything that works without TLS


def test_pipelined_requests(echo, authority):
    count = 3000
    with TlsConnection(echo.address, authority.context()) as connection:
        connection.send_while_reading(b"".join(get(f"/{number}") for number in range(count)))
        for number in range(count):
            assert connection.receive().json()["environ"]["REQUEST_URI"] == f"/{number}"


def test_bodies_of_every_length_around_the_sizes_of_records(echo, authority):
    with TlsConnection(echo.address, authority.context()) as connection:
        for size in (1, 16383, 16384, 16385, 32768, 65535, 65536, 65537, 131072):
            body = os.urandom(size)
            assert connection.ask(post("/", body)).json()["body"].encode("latin-1") == body
            assert (
                connection.ask(chunked("/", [body, b"x"])).json()["body"].encode("latin-1")
                == body + b"x"
            )


@pytest.mark.parametrize("version", VERSIONS)
def test_large_bodies_in_both_directions(echo, authority, version):
    body = os.urandom(3_000_000)
    with TlsConnection(echo.address, authority.context(version)) as connection:
        answer = connection.ask(post("/", body))
        assert answer.json()["body"].encode("latin-1") == body


def test_a_slow_reader_gets_everything(responses, authority):
    size = 12_000_000
    slow = TlsConnection(responses.address, authority.context(), receive_buffer_bytes=4096)
    with slow, TlsConnection(responses.address, authority.context()) as other:
        slow.send(get(f"/big?{size}"))
        # The only worker is free again for others, or waits in the first response: it never spins
        # or gives up.
        assert slow.head().status == 200
        other.send(get("/plain"))
        expected, at = pattern(size), 0
        while at < size:
            data = slow.buffer or slow.socket.recv(65536)
            slow.buffer = b""
            assert data == expected[at : at + len(data)]
            at += len(data)
        assert other.receive().text == "plain"


def pattern(size):
    return b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]


def test_a_stream_for_a_slow_reader(responses, authority):
    size = 6_000_000
    with TlsConnection(
        responses.address, authority.context(), receive_buffer_bytes=4096
    ) as connection:
        response = connection.ask(get(f"/big_pieces?{size}"))
        assert response.body == pattern(size)
        assert connection.ask(get()).text == "plain"


def test_a_file(serve, authority, tmp_path):
    data = os.urandom(5_000_000)
    (tmp_path / "data.bin").write_bytes(data)
    source = """
        def application(environ, start_response):
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](open("data.bin", "rb"))
    """
    files = authority.files(tmp_path)
    server = serve(*https("127.0.0.1:0", *files), source=source, listen=(), directory=tmp_path)
    with TlsConnection(
        server.address, authority.context(), receive_buffer_bytes=16384
    ) as connection:
        for _ in range(2):
            assert connection.ask(get()).body == data


def test_a_request_in_single_bytes(echo, authority):
    with HandMadeTls(echo.address, authority.context()) as client:
        client.handshake(client.send_single_bytes)
        client.send_single_bytes(
            client.records() + client.write(post("/", b"bytes", "Connection: close"))
        )
        assert b'"body": "bytes"' in client.read_until(b'"input_terminated"')


def test_a_request_together_with_the_end_of_the_handshake(echo, authority):
    with HandMadeTls(echo.address, authority.context()) as client:
        client.handshake(client.send)
        client.send(client.records() + client.write(get("/together")))
        assert b"/together" in client.read_until(b"input_terminated")


def test_a_client_that_ends_its_side(echo, authority):
    with HandMadeTls(echo.address, authority.context(ssl.TLSVersion.TLSv1_3)) as client:
        client.handshake(client.send)
        client.send(client.records() + client.write(get("/ended")) + client.goodbye())
        client.end_of_sending()
    # The answer cannot be read by this library any more; that the request was served can be asked.
    deadline = time.monotonic() + 20
    with TlsConnection(echo.address, authority.context()) as connection:
        while "/ended" not in connection.ask(get("/seen")).json():
            assert time.monotonic() < deadline


# A read that fills the server's buffer exactly gives no sign that more is waiting.


@pytest.mark.parametrize("with_tls", [False, True])
def test_a_request_that_ends_where_the_buffer_does(serve, authority, gate, tmp_path, with_tls):
    source = """
        import knock

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/slow":
                knock.knock()
            environ["wsgi.input"].read()
            start_response("200 OK", [])
            return [environ["PATH_INFO"].encode()]
    """
    files = authority.files(tmp_path)
    # Unix sockets: all of it is in the server's kernel at once, where TCP has a window.
    arguments = https("tls.sock", *files) if with_tls else ["--http-socket", "plain.sock"]
    server = serve(
        *arguments, "--threads", "2", source=source, gate=gate, listen=(), directory=tmp_path
    )
    address = str(tmp_path / server.addresses()[0])

    def connected():
        return TlsConnection(address, authority.context()) if with_tls else Connection(address)

    with connected() as connection, connected() as other:
        # From here on both are registered with the poll.
        assert connection.ask(get()).text == other.ask(get()).text == "/"
        connection.send(get("/slow"))
        visitor = gate.visitor()
        head = post("/full", b"")
        body = b"x" * (65536 - len(head) - 4)
        full = post("/full", body)
        assert len(full) == 65536, "the size of the buffer that a turn reads into"
        connection.send(full + get("/last"))
        # The other thread has seen the event while no thread could read it.
        assert other.ask(get()).text == "/"
        visitor.release()
        for path in ("/slow", "/full", "/last"):
            assert connection.receive().text == path


# Clients that do not speak TLS


def test_a_handshake_that_stalls_is_cut(serve, authority, tmp_path):
    server = serve(
        *https("127.0.0.1:0", *authority.files(tmp_path)),
        "--header-timeout",
        "1",
        app="echo.py",
        listen=(),
    )
    for begin in (b"", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01"):
        with Connection(server.address) as stalled:
            stalled.send(begin)
            stalled.assert_closed()
    with HandMadeTls(server.address, authority.context()) as client:
        # The handshake is complete, the request is not: told as on a plain connection.
        client.handshake(client.send)
        client.send(client.records() + client.write(b"GET / HT"))
        assert client.read_until(b"\r\n").startswith(b"HTTP/1.1 408 ")


def test_http_without_tls_is_told_so(echo):
    with Connection(echo.address) as connection:
        response = connection.ask(get("/plain-text"))
        assert response.status == 400
        assert "https" in response.text.lower()
        connection.assert_closed()


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"A" * 100, b"SSH-2.0-x\r\n", b"\x80\x2e\x01"],
)
def test_garbage_is_turned_away(echo, authority, garbage):
    with Connection(echo.address) as connection:
        connection.send(garbage)
        connection.end_of_sending()
        connection.rest()
    with TlsConnection(echo.address, authority.context()) as connection:
        assert connection.ask(get()).status == 200


def test_failed_handshakes_are_logged_on_demand(serve, authority, tmp_path):
    files = authority.files(tmp_path)
    server = serve(*https("127.0.0.1:0", *files), "--ssl-verbose", app="echo.py", listen=())
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsConnection(server.address, ssl.create_default_context())
    server.wait_for_log(r"a TLS handshake failed.*(?i:unknown.?ca)")


def test_abrupt_ends_hurt_nobody(echo, authority):
    for step in range(4):
        client = HandMadeTls(echo.address, authority.context())
        if step >= 1:
            client.handshake(client.send)
        if step >= 2:
            client.send(
                client.records()
                + client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf")
            )
        if step == 3:
            # A record that was changed on its way.
            client.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        client.abort()
    with TlsConnection(echo.address, authority.context()) as connection:
        assert connection.ask(get()).status == 200


# Certificates and keys


@pytest.mark.parametrize(
    "key, form",
    [
        ("RSA", FORMS.PKCS8),
        ("RSA", FORMS.TraditionalOpenSSL),
        ("ECDSA", FORMS.PKCS8),
        ("ECDSA", FORMS.TraditionalOpenSSL),
    ],
)
@pytest.mark.parametrize("files", ["two files", "one file"])
def test_every_form_of_a_key(serve, authority, tmp_path, key, form, files):
    certificate, key = authority.files(tmp_path, key=key, form=form)
    if files == "one file":
        both = tmp_path / "both.pem"
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        certificate = key = both
    server = serve(*https("127.0.0.1:0", certificate, key), app="echo.py", listen=())
    assert environ_of(server, authority.context())["HTTPS"] == "on"


def test_paths_are_those_of_the_start(serve, authority, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/app.py").write_text(
        "def application(e, s):\n    s('200 OK', [])\n    return [b'here']\n"
    )
    authority.files(tmp_path)
    arguments = ["--chdir", "app", *https("127.0.0.1:0", "server.crt", "server.key"), "app.py"]
    server = serve(*arguments, listen=(), directory=tmp_path)
    with TlsConnection(server.address, authority.context()) as connection:
        assert connection.ask(get()).text == "here"
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("the certificates were read anew")


def test_the_other_ways_to_say_it(serve, authority, tmp_path):
    authority.files(tmp_path)
    (tmp_path / "server.ini").write_text(
        "[uwsgi]\n"
        "https-socket = 127.0.0.1:0,server.crt,server.key,HIGH\n"
        "https2 = addr=127.0.0.1:0,cert=server.crt,key=server.key\n"
        "ssl-verify-depth = 3\n"
        "ssl-option = 1\n"
    )
    server = serve("server.ini", app="echo.py", listen=(), directory=tmp_path)
    assert len(server.urls()) == 2
    for listener in (0, 1):
        assert environ_of(server, authority.context(), listener=listener)["HTTPS"] == "on"
    assert "names ciphers, and they are not looked at" in server.log()
    assert "ssl-option" in server.log()


def failed_start(serve, directory, *arguments):
    server = serve(*arguments, app="echo.py", listen=(), directory=directory, wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    return server.log()


def test_what_cannot_be_used_says_why(serve, authority, tmp_path):
    certificate, key = authority.files(tmp_path)
    _, other = authority.files(tmp_path, stem="other")
    encrypted = authority.files(
        tmp_path, stem="encrypted", encryption=BestAvailableEncryption(b"secret")
    )
    old = authority.files(
        tmp_path,
        stem="old",
        key="RSA",
        form=FORMS.TraditionalOpenSSL,
        encryption=BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "empty.pem").write_text("")
    cases = [
        (
            https(":0", "missing.crt", key),
            "cannot read the certificate .*missing.crt: No such file",
        ),
        (
            https(":0", certificate, "missing.key"),
            "cannot read the private key .*missing.key: No such file",
        ),
        (
            https(":0", certificate, other),
            "other.key does not belong to the certificate in .*server.crt",
        ),
        (https(":0", *encrypted), "encrypted.key is encrypted.*openssl pkey -in"),
        (https(":0", *old), "old.key is encrypted"),
        (https(":0", key, key), "server.key holds no certificate"),
        (https(":0", certificate, certificate), "server.crt holds no private key"),
        (https(":0", certificate, key, "", "empty.pem"), "empty.pem holds no certificate"),
        (https(":0", certificate, key, "", "!"), "wants the path of an authority"),
        (["--https", ":0,only.crt"], r"wants ADDRESS,CERT,KEY"),
        (["--https2", "addr=:0,cert=a"], "wants addr=ADDRESS,cert=CERT,key=KEY"),
        (["--https2", "addr=:0,what=a"], "does not know 'what'"),
        (["--sni", "host"], "wants 'HOST CERT,KEY'"),
        (["--sni-regexp", "( a,b"], "wants a regular expression"),
    ]
    for arguments, words in cases:
        log = failed_start(serve, tmp_path, *arguments)
        assert re.search(rf"^error: .*{words}", log, re.MULTILINE), (arguments, log)


def test_a_certificate_that_has_expired_is_warned_about(serve, authority, tmp_path):
    server = serve(
        *https("127.0.0.1:0", *authority.files(tmp_path, expired=True)), app="echo.py", listen=()
    )
    assert re.search("WARN.*server.crt has expired .*clients will refuse it", server.log())
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        TlsConnection(server.address, authority.context())


# Which certificate


def test_the_certificate_of_the_host_that_is_asked_for(serve, authority, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    authority.files(folder, "in-folder.example", stem="in-folder.example")
    authority.files(folder, "*.wide.example", stem="*.wide.example")
    authority.files(tmp_path, "default.example")
    authority.files(tmp_path, "one.example", stem="one")
    authority.files(tmp_path, "*.below.example", stem="below")
    authority.files(tmp_path, "shop-1.example", "shop-2.example", stem="shops")
    arguments = [
        *https("127.0.0.1:0", "server.crt", "server.key"),
        *("--sni", "one.example one.crt,one.key"),
        *("--sni", "*.below.example below.crt,below.key"),
        *("--sni-regexp", r"^shop-[0-9]+\.example$ shops.crt,shops.key"),
        *("--sni-dir", "folder"),
    ]
    server = serve(*arguments, app="echo.py", listen=(), directory=tmp_path)
    believing = authority.context()
    believing.check_hostname = False

    def asked_for(host):
        with TlsConnection(server.address, believing, host) as connection:
            assert connection.ask(get()).status == 200
            return connection.names[0]

    assert asked_for("one.example") == "one.example"
    assert asked_for("ONE.example") == "one.example"
    assert asked_for("a.below.example") == "*.below.example"
    assert asked_for("a.b.below.example") == "default.example"
    assert asked_for("below.example") == "default.example"
    assert asked_for("shop-2.example") == "shop-1.example"
    assert asked_for("shop-x.example") == "default.example"
    assert asked_for("in-folder.example") == "in-folder.example"
    assert asked_for("any.wide.example") == "*.wide.example"
    assert asked_for("unknown.example") == "default.example"
    assert asked_for(None) == "default.example"


# Clients' certificates


@pytest.mark.parametrize("version", VERSIONS)
def test_clients_may_have_certificates(serve, authority, tmp_path, version):
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    files = authority.files(tmp_path)
    server = serve(
        *https("127.0.0.1:0", *files, "", str(tmp_path / "ca.pem")), app="echo.py", listen=()
    )
    without = environ_of(server, authority.context(version))
    assert "HTTPS_DN" not in without and "HTTPS_CC" not in without
    alice = authority.issue(
        "alice@example.org", common_name="Alice", organization_name="Wonder/land"
    )
    environ = environ_of(server, authority.context(version, alice))
    assert "/O=Wonder/land" in environ["HTTPS_DN"]
    assert environ["HTTPS_DN"].endswith("/CN=Alice")
    assert "HTTPS_CC" not in environ, "only with --https-export-cert"
    stranger = Authority().issue("mallory@example.org")
    refused = authority.context(version, stranger)
    with pytest.raises((ssl.SSLError, ConnectionError, Closed)):
        environ_of(server, refused)


@pytest.mark.parametrize("version", VERSIONS)
def test_clients_must_have_certificates(serve, authority, tmp_path, version):
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    files = authority.files(tmp_path)
    arguments = https("127.0.0.1:0", *files, "", f"!{tmp_path / 'ca.pem'}")
    server = serve(*arguments, "--https-export-cert", app="echo.py", listen=())
    with pytest.raises((ssl.SSLError, ConnectionError, Closed)):
        environ_of(server, authority.context(version))
    bob = authority.issue("bob@example.org", common_name="Bob")
    context = authority.context(version, bob)
    environ = environ_of(server, context)
    assert environ["HTTPS_CC"] == bob.cert_chain_pems[0].bytes().decode()
    # A resumed session still has its client certificate.
    with TlsConnection(server.address, context) as first:
        first.ask(get())
        session = first.socket.session
    with TlsConnection(server.address, context, session=session) as second:
        assert second.socket.session_reused
        assert second.ask(get()).json()["environ"]["HTTPS_DN"].endswith("/CN=Bob")


# New certificates while it serves


def test_certificates_are_read_anew_at_a_reload(serve, authority, tmp_path):
    first = authority.files(tmp_path, "localhost", "first.example")
    # A new process, as for an app in the main interpreter, has no TLS sessions of the old one.
    beside = ("--isolation", "shared-gil")
    server = serve(*https("127.0.0.1:0", *first), *beside, app="echo.py", listen=())
    with TlsConnection(server.address, authority.context()) as early:
        assert early.names == ["localhost", "first.example"]
        authority.files(tmp_path, "localhost", "second.example")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("the certificates were read anew")
        # Open connections keep their certificate.
        assert early.ask(get()).status == 200
        with TlsConnection(server.address, authority.context()) as late:
            assert late.names == ["localhost", "second.example"]
        # A certificate without its key is not used: the old pair stays.
        other = tmp_path / "other"
        other.mkdir()
        _, key = authority.files(other)
        first[1].write_bytes(key.read_bytes())
        server.send_signal(signal.SIGHUP)
        server.wait_for_log(
            "the certificates stay as they were: the private key in .* does not belong"
        )
        first[0].write_text("not a certificate")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("the certificates stay as they were: .*holds no certificate")
        with TlsConnection(server.address, authority.context()) as late:
            assert late.names == ["localhost", "second.example"]
            assert late.ask(get()).status == 200
        assert early.ask(get()).status == 200


# Redirects


def test_http_to_https(serve, authority, tmp_path):
    files = authority.files(tmp_path)
    redirects = ["--http-to-https", "127.0.0.1:0,8443", "--http-to-https", "127.0.0.1:0"]
    server = serve(*https("127.0.0.1:0", *files), *redirects, app="echo.py", listen=())
    _, with_port, without = server.addresses()

    def location(address, request):
        with Connection(address) as connection:
            response = connection.ask(request)
            assert response.status == 301
            connection.assert_closed()
            return response.header("Location")

    assert location(with_port, get("/a%20b?c=d&e")) == "https://example.com:8443/a%20b?c=d&e"
    assert location(without, get("/")) == "https://example.com/"
    assert location(without, post("/", b"body")) == "https://example.com/"
    assert location(with_port, b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n") == "https://[::1]:8443/"
    assert (
        location(without, b"GET http://other.example:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        == "https://other.example/x?y"
    )
    with Connection(without) as connection:
        assert connection.ask(b"GET / HTTP/1.0\r\n\r\n").status == 400
