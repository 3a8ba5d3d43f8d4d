# /// script
# dependencies = ["flask>=3"]
# ///
"""A Flask app: a page, JSON in and out, and where a request was served.

just run examples/flask_app.py --processes 2 --threads 4
curl http://127.0.0.1:8000/
curl http://127.0.0.1:8000/sum -H 'Content-Type: application/json' -d '{"numbers": [1, 2, 3]}'
curl http://127.0.0.1:8000/where
"""

import threading

from flask import Flask, jsonify, request

app = Flask(__name__)

# Each interpreter imports this module for itself, so each has a counter of its own. The threads of one
# interpreter share it, hence the lock.
visits = 0
visits_lock = threading.Lock()


@app.get("/")
def index():
    name = request.args.get("name", "World")
    return f"Hello, {name}!\n", {"Content-Type": "text/plain; charset=utf-8"}


@app.post("/sum")
def add():
    numbers = request.get_json()["numbers"]
    return jsonify(sum=sum(numbers))


@app.get("/where")
def where():
    global visits
    with visits_lock:
        visits += 1
        count = visits
    return jsonify(
        visits_of_this_interpreter=count,
        thread=threading.get_ident(),
        multiprocess=request.environ["wsgi.multiprocess"],
        multithread=request.environ["wsgi.multithread"],
    )


# The name that WSGI servers look for first.
application = app
