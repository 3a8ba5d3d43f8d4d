"""A Flask application with what real ones have: routes, sessions, forms, uploads, streams, files, errors."""

import hashlib
import io

from flask import (
    Flask,
    abort,
    jsonify,
    redirect,
    render_template_string,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)

app = Flask(__name__)
app.secret_key = "for tests only"
application = app


@app.get("/hello")
def hello():
    return "Hello World!"


@app.route("/echo/<path:rest>", methods=["GET", "POST", "PUT", "DELETE"])
def echo(rest):
    return jsonify(
        method=request.method,
        rest=rest,
        args=request.args.to_dict(flat=False),
        form=request.form.to_dict(flat=False),
        json=request.get_json(silent=True),
        cookies=request.cookies,
        host=request.host,
        url=request.url,
        address=request.remote_addr,
        data_size=request.content_length,
    )


@app.get("/template/<name>")
def template(name):
    return render_template_string("<p>{{ name }}</p>", name=name)


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    return redirect(url_for("who"))


@app.get("/who")
def who():
    return session.get("user", "nobody")


@app.post("/upload")
def upload():
    file = request.files["file"]
    digest, size = hashlib.sha256(), 0
    while piece := file.stream.read(65536):
        digest.update(piece)
        size += len(piece)
    return jsonify(
        name=file.filename, size=size, sha256=digest.hexdigest(), other=request.form.get("other")
    )


@app.post("/raw")
def raw():
    return jsonify(size=len(request.get_data()), length=request.content_length)


@app.get("/stream")
def stream():
    def pieces():
        for number in range(5):
            yield f"{request.args['word']} {number}\n"

    return app.response_class(stream_with_context(pieces()), mimetype="text/plain")


@app.get("/download")
def download():
    return send_file(__file__, mimetype="text/x-python", as_attachment=True)


@app.get("/memory")
def memory():
    return send_file(io.BytesIO(b"in memory " * 1000), mimetype="text/plain")


@app.get("/cookies")
def cookies():
    response = app.make_response("cookies")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


@app.get("/gone")
def gone():
    abort(410)


@app.get("/broken")
def broken():
    return 1 / 0


@app.get("/empty")
def empty():
    return "", 204
