"""The same rules, and the same requests, answered by uWSGI itself and by this server.

Each case has rules and requests of its own below a path of its own. `ALIKE` is what is compared of
an answer. `DIFFERENT` lists what differs on purpose, with the reason; nothing else may.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys

import pytest
from client import ask
from uwsgi_peer import Uwsgi

KEYS = (
    "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "SCRIPT_NAME", "REQUEST_URI", "HTTP_HOST",
    "REMOTE_USER", "REMOTE_ADDR", "DOCUMENT_ROOT", "UWSGI_APPID", "wsgi.url_scheme",
)  # fmt: skip
APP = f"""
    KEYS = {KEYS!r}

    def application(environ, start_response):
        status = environ.get("HTTP_X_STATUS", "200 OK")
        start_response(status, [("Content-Type", "text/plain"), ("X-App", "yes")])
        seen = {{key: environ[key] for key in environ if key in KEYS or key.startswith("V_")}}
        return ["\\n".join(f"{{key}}={{seen[key]}}" for key in sorted(seen)).encode("latin-1")]
"""
ALIKE = (
    "location", "www-authenticate", "content-type", "expires", "x-app", "x-a", "x-b", "last-modified",
)  # fmt: skip
SHA = "{SHA}" + base64.b64encode(hashlib.sha1(b"secret").digest()).decode()


def basic(pair):
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def asking(path="", method="GET", **headers):
    return (path, method, {name.replace("_", "-"): value for name, value in headers.items()})


# A name; rules, in which @ stands for the path of the case and & for the folder; requests: path
# behind it, method, headers.
CASES = [
    # redirect
    ("redirect", ["route = ^@ redirect:/new"], [asking(), asking("/more?x=1")]),
    ("redirect-302", ["route = ^@ redirect-302:/new"], [asking()]),
    ("redirect-301", ["route = ^@ redirect-301:/new"], [asking()]),
    ("permanent", ["route = ^@/(.*)$ redirect-permanent:https://${HTTP_HOST}/$1?${QUERY_STRING}"],
     [asking("/a"), asking("/a/b?x=1&y=2"), asking()]),
    ("groups", ["route = ^@/(\\w+)/(\\d+)(x)?$ redirect:/$2/$1/$3/$0/$9/$$1"],
     [asking("/ab/12"), asking("/ab/12x"), asking("/ab/cd")]),
    ("dollars", ["route-run = addvar:V_A=1", "route = ^@/() redirect:/$a${b}$"], []),
    ("host", ["route-host = ^www\\.(.*)$ redirect-301:http://$1${REQUEST_URI}"],
     [asking("/x?y", Host="www.example.org"), asking("/x", Host="example.org")]),
    ("alternatives", ["route = ^@/(a|b)(?:/(.*))?$ redirect:/$1-$2"],
     [asking("/a"), asking("/b/c/d"), asking("/c")]),
    ("lookahead", ["route = ^@/(?!static/)(.*)$ redirect:/app/$1"],
     [asking("/static/x"), asking("/other/x")]),
    ("backreference", ["route = ^@/(\\w+)/\\1$ redirect:/twice/$1"],
     [asking("/ab/ab"), asking("/ab/ac")]),
    ("insensitive", ["route = (?i)^@/ABC redirect:/abc"], [asking("/aBc"), asking("/abd")]),
    ("unanchored", ["route = @.*zz redirect:/z"], [asking("/a/zz/b"), asking("/a")]),
    ("methods", ["route = ^@ redirect:/new"],
     [asking("", "POST"), asking("", "PUT"), asking("", "DELETE")]),
    # break, return, last
    ("break-403", ["route = ^@ break:403 Forbidden"], [asking(), asking("/x", "POST")]),
    ("break-code", ["route = ^@ break:404"], [asking()]),
    ("break-own", ["route = ^@ break:410 It is gone"], [asking()]),
    ("break-none", ["route = ^@ break:"], [asking()]),
    ("return", ["route = ^@/(4)04 return:404", "route = ^@/503 return:503", "route = ^@ return:200"],
     [asking("/404"), asking("/503"), asking()]),
    ("with-status", ["route = ^@ break-with-status:401"], [asking()]),
    ("last", ["route = ^@/ok last:", "route = ^@ break:403"], [asking("/ok"), asking("/no")]),
    ("continue", ["route = ^@/ok continue:", "route = ^@ break:403"], [asking("/ok"), asking("/no")]),
    ("first-wins", ["route = ^@ redirect:/one", "route = ^@ redirect:/two"], [asking()]),
    # subjects
    ("uri", ["route-uri = ^@\\?go=(.*)$ redirect:/$1"], [asking("?go=here"), asking("?stay=1")]),
    ("qs", ["route = ^@ addvar:V_IN=1", "route-qs = ^case=qs;(.*)$ redirect:/$1"],
     [asking("?case=qs;x=1"), asking("?x=1")]),
    ("agent", ["route-user-agent = ^EvilBot/(\\d) break:403 Forbidden"],
     [asking("", User_Agent="EvilBot/1"), asking("", User_Agent="Good/1")]),
    ("referer", ["route-referer = ^https://spam break:402 Payment Required"],
     [asking("", Referer="https://spam.example/"), asking("", Referer="https://ok.example/")]),
    ("addr", ["route-if = startswith:${PATH_INFO};@ addvar:V_ADDR=${REMOTE_ADDR}",
              "route-remote-addr = ^10\\. break:403 Forbidden"], [asking()]),
    ("user", ["route = ^@ basicauth:r,ann:secret", "route-remote-user = ^ann$ addvar:V_IS_ANN=yes"],
     [("", "GET", basic("ann:secret")), asking()]),
    # variables
    ("addvar", ["route = ^@/(.*)$ addvar:V_A=<$1> ${HTTP_X_B} ${NOWHERE}."],
     [asking("/x", X_B="b"), asking("/")]),
    ("addvar-twice", ["route = ^@ addvar:V_A=1", "route = ^@ addvar:V_A=2${V_A}"], [asking()]),
    ("addvar-equals", ["route = ^@ addvar:V_A=b=c"], [asking()]),
    ("math", ["route = ^@ addvar:V_N=5", "route = ^@ +:V_N,3", "route = ^@ -:V_N,1", "route = ^@ +:V_N"],
     [asking()]),
    ("cookie", ["route = ^@ addvar:V_C=${cookie[sid]}|${cookie[b]}|${cookie[none]}"],
     [asking("", Cookie="a=1; sid=x=y; b=2"), asking("", Cookie="sid=1"), asking()]),
    ("query-variable", ["route = ^@ addvar:V_Q=${qs[id]}|${qs[none]}"],
     [asking("?id=7&x=1"), asking("?x=1&id=%20a"), asking("?idx=1")]),
    ("functions",
     ["route = ^@/(.*)$ addvar:V_T=$1",
      "route = ^@ addvar:V_F=${base64[HTTP_X_B]}|${hex[HTTP_X_B]}"],
     [asking("", X_B="Hello World"), asking("", X_B="a\xe9"), asking("", X_B="x")]),
    ("case", ["route = ^@ addvar:V_F=${upper[HTTP_X_B]}${lower[HTTP_X_B]}"], [asking("", X_B="Ab")]),
    ("mime", ["route = ^@ addvar:V_M=${mime[PATH_INFO]}"],
     [asking("/a.css"), asking("/a.html"), asking("/a.png"), asking("/a.txt")]),
    ("uwsgi-variables", ["route = ^@ addvar:V_S=${uwsgi[status]}"], [asking()]),
    ("nested", ["route = ^@/(\\w+)$ addvar:V_C=${cookie[$1]}"],
     [asking("/a", Cookie="a=1; b=2"), asking("/b", Cookie="a=1; b=2"), asking("/c", Cookie="a=1")]),
    ("captured", ["route = ^@/(.*)$ addvar:V_A=$1"], [asking("/${HTTP_HOST}")]),
    # conditions
    ("empty", ["route-if = startswith:${PATH_INFO};@ addvar:V_IN=1",
               "route-if = empty:${HTTP_X_EMPTY_CASE} addvar:V_EMPTY=yes",
               "route-if-not = empty:${HTTP_X_EMPTY_CASE} addvar:V_FULL=yes"],
     [asking(), asking("", X_Empty_Case="1")]),
    ("equal", ["route-if = equal:${PATH_INFO};@/a redirect:/equal",
               "route-if = isequal:${PATH_INFO};@/b redirect:/isequal",
               "route-if = eq:${PATH_INFO};@/c redirect:/eq",
               "route-if = ==:${PATH_INFO};@/d redirect:/=="],
     [asking("/a"), asking("/b"), asking("/c"), asking("/d"), asking("/e")]),
    ("both-sides", ["route-if = equal:${HTTP_X_L};${HTTP_X_R}case redirect:/same"],
     [asking("", X_L="acase", X_R="a"), asking("", X_L="acase", X_R="b")]),
    ("startswith", ["route-if = startswith:${PATH_INFO};@/a redirect:/starts"],
     [asking("/abc"), asking("/b")]),
    ("endswith", ["route-if = endswith:${PATH_INFO};@/end redirect:/ends"],
     [asking("/end"), asking("/end/x")]),
    ("contains", ["route-if = contains:${PATH_INFO};@/mid redirect:/contains"],
     [asking("/mid/x"), asking("/x")]),
    ("regexp", ["route-if = regexp:${PATH_INFO};^@/(\\w+)/(\\w+)$ redirect:/$2/$1"],
     [asking("/a/b"), asking("/a")]),
    ("re", ["route-if = re:${HTTP_X_RE}${PATH_INFO};^go@/(.*) redirect:/re/$1"],
     [asking("/x", X_Re="go"), asking("/x", X_Re="no")]),
    ("numbers", ["route = ^@ addvar:V_N=${qs[n]}",
                 "route-if = ishigher:${V_N};10 addvar:V_H=yes",
                 "route-if = ishigherequal:${V_N};10 addvar:V_HE=yes",
                 "route-if = islower:${V_N};10 addvar:V_L=yes",
                 "route-if = islowerequal:${V_N};10 addvar:V_LE=yes"],
     [asking("?n=9"), asking("?n=10"), asking("?n=11"), asking("?n=-1"), asking("?n=x")]),
    ("signs", ["route = ^@ addvar:V_N=${qs[n]}", "route-if = >:${V_N};10 addvar:V_H=yes",
               "route-if = >=:${V_N};10 addvar:V_HE=yes", "route-if = <:${V_N};10 addvar:V_L=yes",
               "route-if = <=:${V_N};10 addvar:V_LE=yes"], [asking("?n=10"), asking("?n=12abc")]),
    ("files", ["route = ^@/(.*)$ addvar:V_FILE=tree/$1",
               "route-if = exists:${V_FILE} addvar:V_EXISTS=yes",
               "route-if = isfile:${V_FILE} addvar:V_ISFILE=yes",
               "route-if = isdir:${V_FILE} addvar:V_ISDIR=yes",
               "route-if = islink:${V_FILE} addvar:V_ISLINK=yes",
               "route-if = isexec:${V_FILE} addvar:V_ISEXEC=yes",
               "route = ^@ addvar:V_FILE=", "route = ^@ last:"],
     [asking("/a.txt"), asking("/sub"), asking("/link"), asking("/run.sh"), asking("/none")]),
    ("ipv4", ["route-if = ipv4in:${HTTP_X_IP4};10.0.0.0/8 redirect:/ten",
              "route-if = ipv4in:${HTTP_X_IP4};192.168.1.7 redirect:/one"],
     [asking("", X_IP4="10.1.2.3"), asking("", X_IP4="11.1.2.3"), asking("", X_IP4="192.168.1.7"),
      asking("", X_IP4="nothing"), asking("", X_IP4="::1")]),
    ("ipv6", ["route-if = ipv6in:${HTTP_X_IP6};2001:db8::/32 redirect:/doc",
              "route-if = ipv6in:${HTTP_X_IP6};::1 redirect:/loop"],
     [asking("", X_IP6="2001:db8::5"), asking("", X_IP6="2001:db9::5"), asking("", X_IP6="::1"),
      asking("", X_IP6="10.0.0.1")]),
    ("not", ["route-if-not = startswith:${HTTP_X_KEY};let-me-in addvar:V_KEY=no"],
     [asking("", X_Key="let-me-in"), asking("", X_Key="x")]),
    # labels
    ("goto", ["route = ^@/a goto:to-a", "route = ^@ addvar:V_FRONT=yes", "route-label = to-a",
              "route = ^@ addvar:V_BEHIND=yes"], [asking("/a"), asking("/b")]),
    ("goto-group", ["route = ^@/(one|two)$ goto:g-$1", "route = ^@ addvar:V_NONE=yes",
                    "route-label = g-one", "route = ^@ addvar:V_ONE=yes", "route-label = g-two",
                    "route = ^@ addvar:V_TWO=yes"], [asking("/one"), asking("/two"), asking("/x")]),
    # rewrite
    ("rewrite", ["route = ^@/(.*)$ rewrite:/new/$1"], [asking("/a"), asking("/a?x=1"), asking("/")]),
    ("rewrite-query", ["route = ^@/(\\w+)$ rewrite:/index?id=$1"], [asking("/a"), asking("/a?x=1")]),
    ("rewrite-encoded", ["route = ^@/(.*)$ rewrite:/n%%20w/$1"], [asking("/a"), asking("/a%20b")]),
    ("rewrite-last", ["route = ^@/(.*)$ rewrite-last:/new/$1", "route = ^/new break:403"],
     [asking("/a")]),
    ("rewrite-next", ["route = ^@/(.*)$ rewrite:/rewritten/$1", "route = ^/rewritten addvar:V_R=yes"],
     [asking("/a")]),
    # set*
    ("set", ["route = ^@ setuser:bob:rest", "route = ^@ setdocroot:/srv", "route = ^@ setscheme:https",
             "route = ^@ setremoteaddr:1.2.3.4", "route = ^@ seturi:/other?x", "route = ^@ setmethod:PATCH"],
     [asking(), asking("", "POST")]),
    ("setpath", ["route = ^@/(.*)$ setpathinfo:/set/$1"], [asking("/a%20b")]),
    ("script", ["route = ^@ setscriptname:@", "route = ^@ fixpathinfo:"], [asking("/a"), asking()]),
    ("fix-nothing", ["route = ^@ fixpathinfo:"], [asking("/a")]),
    # headers
    ("addheader", ["route = ^@/(.*)$ addheader:X-A: $1 ${REQUEST_METHOD}"], [asking("/a"), asking()]),
    ("addheader-twice", ["route = ^@ addheader:X-A: 1", "route = ^@ addheader:X-B: 2"], [asking()]),
    ("addheader-redirect", ["route = ^@ addheader:X-A: 1", "route = ^@ redirect:/x"], [asking()]),
    ("addheader-break", ["route = ^@ addheader:X-A: 1", "route = ^@ break:403 Forbidden"], [asking()]),
    ("delheader", ["route = ^@ delheader:X-App"], [asking()]),
    ("remheader", ["route = ^@ remheader:x-app"], [asking()]),
    ("expires-unix", ["route = ^@ expires:unix=1000000000,value=30"], [asking()]),
    ("expires-file", ["route = ^@ expires:filename=tree/old.txt,value=60"], [asking()]),
    # basicauth
    ("auth", ["route = ^@ basicauth:The Realm,ann:secret"],
     [asking(), ("", "GET", basic("ann:secret")), ("", "GET", basic("ann:wrong")),
      ("", "GET", basic("ben:secret")), ("", "GET", basic("ann")), asking("", Authorization="Basic !!!"),
      asking("", Authorization="Bearer abc")]),
    ("auth-next", ["route = ^@ basicauth-next:One,ann:secret", "route = ^@ basicauth:Two,ben:secret"],
     [("", "GET", basic("ann:secret")), ("", "GET", basic("ben:secret")),
      ("", "GET", basic("cat:secret"))]),
    ("auth-file", ["route = ^@ basicauth:File,users"],
     [("", "GET", basic("ann:secret")), ("", "GET", basic("cat:secret")),
      ("", "GET", basic("ann:wrong")), ("", "GET", basic("nobody:secret")), asking()]),
    # files
    ("static", ["route = ^@/(.*)$ static:&/tree/$1"],
     [asking("/a.txt"), asking("/page.html"), asking("/a.txt", If_Modified_Since="Sat, 01 Jan 2050 00:00:00 GMT")]),
    ("static-fixed", ["route = ^@ static:&/tree/a.txt"], [asking(), asking("/anything")]),
    ("file", ["route = ^@ file:filename=tree/a.txt"], [asking()]),
    ("file-status", ["route = ^@ file:filename=tree/a.txt,status=404 Not Found,content_type=text/x-own"],
     [asking()]),
    ("file-mime", ["route = ^@ file:filename=tree/style.css,mime=1"], [asking()]),
    ("file-next", ["route = ^@/(.*)$ file-next:filename=tree/$1", "route = ^@ addvar:V_NEXT=yes"],
     [asking("/a.txt"), asking("/none")]),
    ("sendfile", ["route = ^@ sendfile:filename=tree/a.txt,content_type=text/plain"], [asking()]),
    # other
    ("hash", ["route = ^@/(.*)$ hash:key=$1,var=V_NODE,items=one;two;three",
              "route = ^@/(.*)$ hash:key=$1,algo=murmur2,var=V_M,items=a;b;c;d;e"],
     [asking("/a"), asking("/bcd"), asking("/efghijk"), asking("/"), asking("/12345678")]),
    ("nothing", ["route = ^@ donotlog:", "route = ^@ donotoffload:", "route = ^@ log:seen ${PATH_INFO}",
                 "route = ^@ logvar:a=b"], [asking()]),
    ("send", ["route = ^@ clearheaders:200 OK", "route = ^@ addheader:X-A: 1",
              "route = ^@ send:hello ${REQUEST_METHOD}", "route = ^@ break:"], [asking()]),
    # chains of responses
    ("response-status", ["response-route-status = 299 addheader:X-A: ${PATH_INFO}"],
     [asking("", X_Status="299 Odd"), asking()]),
    ("response", ["response-route = ^@/(.*)$ addheader:X-B: $1 ${uwsgi[status]}"],
     [asking("/a"), asking("/b", X_Status="404 Not Found")]),
    ("response-if", ["response-route-if = equal:${HTTP_X_CASE};response-if addheader:X-B: seen"],
     [asking("", X_Case="response-if"), asking()]),
    ("error", ["error-route-status = 597 redirect:/error"],
     [asking("", X_Status="597 Odd"), asking("", X_Status="598 Odd")]),
    ("error-path", ["error-route = ^@ addheader:X-A: ${uwsgi[status]}"],
     [asking(), asking("", X_Status="500 No")]),
]  # fmt: skip

# What differs, and why. The name of the case and the number of its request; `None` is all of them.
DIFFERENT = {
    ("captured", 0): "a client's text is not expanded a second time",
    ("static", 2): "a 304 says what the 200 would say (RFC 9110, 15.4.5)",
    ("case", None): "upper[] and lower[] are those of uWSGI after 2.0",
    ("uwsgi-variables", None): "there is no status before the response; uWSGI says 500",
}


def path_of(name):
    return f"/c-{name}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    tree = folder / "tree"
    (tree / "sub").mkdir(parents=True)
    for name in ("a.txt", "page.html", "style.css", "old.txt", "run.sh"):
        (tree / name).write_text(f"contents of {name}\n")
        os.utime(tree / name, (1_000_000_000, 1_000_000_000))
    (tree / "run.sh").chmod(0o755)
    os.symlink("a.txt", tree / "link")
    crypted = "saHW9GdxihkGQ"
    (folder / "users").write_text(f"ann:{SHA}\ncat:{crypted}\n")
    types = "text/css css\ntext/html html\nimage/png png\ntext/plain txt\n"
    (folder / "mime.types").write_text(types)
    rules = [
        rule.replace("@", path_of(name)).replace("&", str(folder))
        for name, of_case, _ in CASES
        for rule in of_case
    ]
    head = "[uwsgi]\nmime-file = mime.types\n"
    (folder / "rules.ini").write_text(head + "\n".join(rules) + "\n")
    return folder


@pytest.fixture(scope="module")
def both(serve_module, folder):
    script = shutil.which("uwsgi", path=os.path.dirname(sys.executable))
    if script is None:
        pytest.skip("uwsgi is not installed")
    said = subprocess.run([script, "--help"], capture_output=True, text=True, check=False).stdout
    if "--route-if" not in said:
        pytest.skip("this uwsgi was built without PCRE, and so without routing")
    ours = serve_module("--ini", "rules.ini", source=APP, directory=folder)
    with Uwsgi(folder, "--ini", "rules.ini") as theirs:
        theirs.wait_until_ready()
        yield ours.address, theirs.addresses[0]


def answer(address, name, request):
    path, method, headers = request
    host = headers.get("Host", "example.com")
    body = b"" if method in ("POST", "PUT") else None
    try:
        got = ask(address, path_of(name) + path, method, body, {**headers, "Host": host}, 20)
    except (ConnectionError, OSError) as error:
        return {"closed": type(error).__name__}
    except Exception as error:
        if "BadStatusLine" in str(type(error)) or "Disconnected" in str(type(error)):
            return {"closed": "RemoteDisconnected"}
        raise
    alike = {field: got.headers[field] for field in ALIKE if got.headers[field] is not None}
    return {"status": got.status, "reason": got.reason, "body": got.body, **alike}


def test_there_are_enough():
    rules = sum(len(rules) for _, rules, _ in CASES)
    requests = sum(len(requests) for _, _, requests in CASES)
    assert rules >= 150 and requests >= 150, (rules, requests)


@pytest.mark.parametrize("name", [name for name, _, _ in CASES])
def test_both_answer_alike(both, name):
    ours, theirs = both
    [(_, _, requests)] = [case for case in CASES if case[0] == name]
    for number, request in enumerate(requests):
        one, other = answer(ours, name, request), answer(theirs, name, request)
        reason = DIFFERENT.get((name, number)) or DIFFERENT.get((name, None))
        if reason:
            assert one != other, f"{request} is answered alike by now: {reason}"
        else:
            assert one == other, (request, "ours", one, "uWSGI", other)
