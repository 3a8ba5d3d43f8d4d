"""Caches that all interpreters share (uwsgi.cache_*); compared with uWSGI itself."""

import ast
import json

import pytest
from client import ask
from test_isolation import own_gil_only
from test_stats import stats
from uwsgi_peer import Uwsgi

# Calls functions of the module, as the body of the request lists them.
APP = """
    import ast
    import json

    import uwsgi

    def call(name, arguments):
        function = getattr(uwsgi, "cache_" + name)
        try:
            result = function(*ast.literal_eval(arguments))
        except Exception as error:
            return type(error).__name__
        return repr(sorted(result) if isinstance(result, list) else result)

    def application(environ, start_response):
        calls = json.loads(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "application/json")])
        worker = uwsgi.worker_id()
        return [json.dumps([worker, [call(*one) for one in calls]]).encode()]
"""
CACHES = [
    "name=one,items=20,blocksize=64,keysize=32",
    "name=small,items=4,ignore_full=1",
    "name=bits,items=10,blocksize=16,blocks=20,bitmap=1,ignore_full=1",
    "name=numbers,items=10,math_initial=10",
    "name=lru,items=4,purge_lru=1,ignore_full=1",
    "name=clear,items=4,clear_on_full=1,ignore_full=1",
]
# Names of functions and their arguments, in order.
CALLS = [
    ("get", '("none",)'), ("exists", '("none",)'), ("del", '("none",)'), ("num", '("none",)'),
    ("set", '("k", "value")'), ("get", '("k",)'), ("get", '(b"k",)'), ("exists", '("k",)'),
    ("set", '("k", "other")'), ("get", '("k",)'), ("update", '("k", b"\\x00\\xff")'),
    ("get", '("k",)'), ("update", '("new", "n")'), ("keys", "()"), ("del", '("k",)'),
    ("get", '("k",)'), ("keys", '("one",)'), ("clear", "()"), ("keys", "()"),
    # Sizes.
    ("set", '("", "v")'), ("set", '("k", "")'), ("set", '("k" * 32, "v")'),
    ("set", '("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", "v")'), ("set", '("big", b"' + "v" * 64 + '")'),
    ("set", '("bigger", b"' + "v" * 65 + '")'), ("set", '("\\u00e9", "\\u00e9")'),
    ("get", '("\\u00e9",)'), ("update", '("big", b"' + "v" * 65 + '")'),
    # Other caches, by name.
    ("set", '("k", "v", 0, "small")'), ("get", '("k", "small")'), ("get", '("k", "one")'),
    ("get", '("k", "nowhere")'), ("set", '("k", "v", 0, "nowhere")'), ("del", '("k", "nowhere")'),
    ("exists", '("k", "nowhere")'), ("clear", '("nowhere",)'), ("keys", '("nowhere",)'),
    ("inc", '("k", 1, 0, "nowhere")'), ("num", '("k", "nowhere")'),
    # Full.
    ("clear", '("small",)'), ("set", '("a", "v", 0, "small")'), ("set", '("b", "v", 0, "small")'),
    ("set", '("c", "v", 0, "small")'), ("update", '("a", "w", 0, "small")'),
    ("get", '("a", "small")'),
    # Blocks.
    ("set", '("a", b"' + "v" * 160 + '", 0, "bits")'), ("get", '("a", "bits")'),
    ("set", '("b", b"' + "v" * 161 + '", 0, "bits")'), ("get", '("b", "bits")'),
    ("set", '("b", b"' + "v" * 100 + '", 0, "bits")'), ("exists", '("b", "bits")'),
    ("set", '("c", b"' + "v" * 321 + '", 0, "bits")'),
    # Numbers.
    ("inc", '("n",)'), ("num", '("n",)'), ("inc", '("n", 41)'), ("num", '("n",)'),
    ("dec", '("n", 2)'), ("num", '("n",)'), ("mul", '("n",)'), ("num", '("n",)'),
    ("mul", '("n", -3)'), ("num", '("n",)'), ("div", '("n",)'), ("num", '("n",)'),
    ("div", '("n", 0)'), ("num", '("n",)'), ("inc", '("n", 2**62)'), ("mul", '("n", 4)'),
    ("num", '("n",)'), ("get", '("n",)'), ("inc", '("m", 5, 0, "numbers")'),
    ("num", '("m", "numbers")'), ("dec", '("o", 5, 0, "numbers")'), ("num", '("o", "numbers")'),
    ("set", '("t", b"\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00")'), ("num", '("t",)'),
    ("inc", '("t",)'), ("num", '("t",)'),
    # The order of use.
    ("set", '("a", "v", 0, "lru")'), ("set", '("b", "v", 0, "lru")'),
    ("set", '("c", "v", 0, "lru")'), ("get", '("a", "lru")'),
    # Not what is meant.
    ("get", "()"), ("get", "(1,)"), ("get", "(None,)"), ("set", '("k",)'), ("set", '("k", 5)'),
    ("set", '("k", "v", "x")'), ("inc", '("n", "x")'), ("get", '("\\ud800",)'),
    ("keys", '("one", "two")'), ("clear", "(1,)"), ("get", '("k", "one", 3)'),
]  # fmt: skip


def ask_for(address, calls):
    answer = ask(address, "/", "POST", json.dumps(calls), {}, 30)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def options():
    return [word for cache in CACHES for word in ("--cache2", cache)]


def test_calls_answer_as_uwsgi_itself_does(serve, tmp_path):
    server = serve(*options(), source=APP, directory=tmp_path)
    with Uwsgi(tmp_path, *options()) as peer:
        peer.wait_until_ready()
        _worker, theirs = ask_for(peer.addresses[0], CALLS)
    _worker, ours = ask_for(server.address, CALLS)
    different = [
        (name, arguments, our, their)
        for (name, arguments), our, their in zip(CALLS, ours, theirs, strict=True)
        if our != their
    ]
    assert different == []


@pytest.mark.parametrize("isolation", ["own-gil", "shared-gil", "main"])
def test_all_interpreters_have_the_same_items(serve, isolation, isolations):
    if isolation not in isolations:
        pytest.skip(f"this Python has no {isolation}")
    server = serve("--cache2", "name=c,items=100", "--isolation", isolation, "--processes", 2,
                   source=APP)  # fmt: skip
    workers = set()
    for number in range(1, 200):
        worker, results = ask_for(server.address, [("inc", '("n",)'), ("num", '("n",)')])
        assert results == ["True", str(number)]
        workers.add(worker)
        if len(workers) == 2:
            break
    if isolation == "own-gil":
        assert len(workers) == 2


@own_gil_only
def test_a_reload_keeps_the_items(serve):
    server = serve("--cache2", "name=c,items=100", "--isolation", "own-gil", source=APP)
    ask_for(server.address, [("set", '("k", "v")')])
    server.send_signal(1)
    server.wait_for_log(r"generation 2 serves \(")
    assert ask_for(server.address, [("get", '("k",)')])[1] == ["b'v'"]


def test_items_expire(serve):
    source = """
        import time

        import uwsgi

        def application(environ, start_response):
            start_response("200 OK", [])
            uwsgi.cache_set("long", "v", 1000)
            uwsgi.cache_set("for ever", "v")
            uwsgi.cache_set("short", "v", 1)
            uwsgi.cache_inc("counted", 5, 1)
            uwsgi.cache_inc("counted", 5, 1000)
            before = sorted(uwsgi.cache_keys())
            end = time.monotonic() + 20
            while uwsgi.cache_exists("short") and time.monotonic() < end:
                time.sleep(0.01)
            again = uwsgi.cache_set("short", "other")
            return [repr((before, sorted(uwsgi.cache_keys()), again)).encode()]
    """
    server = serve("--cache2", "name=c,items=100", source=source)
    before, after, again = ast.literal_eval(server.ask().body.decode())
    assert before == [b"counted", b"for ever", b"long", b"short"]
    # An item that is counted up keeps its expiry, as in uWSGI.
    assert after == [b"for ever", b"long", b"short"] and again is True


def test_memory_of_what_has_expired_is_freed_without_a_request(serve):
    server = serve(
        "--cache2", "name=c,items=100", "--cache-expire-freq", 1, "--stats", "127.0.0.1:0",
        source=APP,
    )  # fmt: skip
    ask_for(server.address, [("set", f'("k{number}", "v", 1)') for number in range(50)])
    assert stats(server)["caches"][0]["max_items"] == 100
    server.wait_until(lambda: stats(server)["caches"][0]["items"] == 0, what="the sweep")


def test_items_of_the_configuration(serve, tmp_path):
    (tmp_path / "page.html").write_text("<p>page</p>")
    server = serve(
        "--cache", 10, "--cache2", "name=two,items=10,blocksize=8",
        "--add-cache-item", "k=a=b", "--add-cache-item", "two k2=v2",
        "--load-file-in-cache", "page.html", "--load-file-in-cache", "missing.html",
        source=APP, directory=tmp_path,
    )  # fmt: skip
    _worker, results = ask_for(
        server.address,
        [
            ("get", '("k",)'), ("get", '("k", "default")'), ("get", '("k", "two")'),
            ("get", '("k2",)'), ("get", '("k2", "two")'), ("get", '("page.html",)'),
            ("get", '("page.html", "two")'),
        ],
    )  # fmt: skip
    assert results == [
        "b'a=b'", "b'a=b'", "b'a=b'", "None", "b'v2'", "b'<p>page</p>'", "None",
    ]  # fmt: skip
    server.wait_for_log(r'"page.html" was not put into the cache "two"')
    server.wait_for_log(r"cannot read missing.html")


def test_a_full_cache_is_told_once(serve):
    server = serve("--cache2", "name=c,items=2", source=APP)
    calls = [("set", f'("k{number}", "v")') for number in range(30)]
    assert ask_for(server.address, calls)[1].count("True") == 2
    server.wait_for_log(r'the cache "c" is full: 2 of 2 items')
    server.stop()
    assert server.log().count("is full") == 1


def test_without_a_cache_and_with_one_of_another_server(serve):
    server = serve(source=APP)
    calls = [("get", '("k",)'), ("set", '("k", "v")'), ("keys", "()"), ("get", '("k", "c@h:1")')]
    assert ask_for(server.address, calls)[1] == ["None", "None", "ValueError", "ValueError"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--cache2", "name=c"], "wants a name and a number of items"),
        (["--cache2", "items=5"], "wants a name and a number of items"),
        (["--cache2", "name=c,items=0"], "wants items to be from 1"),
        (["--cache2", "name=c,items=5,blocks=2"], "has fewer blocks (2) than items (5)"),
        (["--cache2", "name=c,items=5,colour=red"], "does not know 'colour'"),
        (["--cache2", "name=c,items=5,nodes=h:1"], "belongs to one server"),
        (["--cache2", "name=c,items=5", "--cache2", "name=c,items=6"], "names 'c' a second time"),
        (["--cache2", "name=c,items=5,hash=md5"], "has no hash 'md5'"),
        (["--add-cache-item", "k=v"], "finds no cache"),
        (["--cache", "5", "--add-cache-item", "other k=v"], "finds no cache other"),
        (["--cache", "5", "--add-cache-item", "k"], "wants KEY=VALUE, got 'k'"),
    ],
)
def test_a_cache_that_cannot_be_meant(serve, arguments, text):
    server = serve(*arguments, source=APP, wait=False)
    server.exit_code_expected = 1
    assert server.wait_for_exit() == 1
    assert text in server.log()
