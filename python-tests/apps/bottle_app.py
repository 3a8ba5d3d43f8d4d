"""Bottle says hello."""

import bottle

application = bottle.Bottle()


@application.get("/hello/<name>")
def hello(name):
    return f"Hello, {bottle.request.params.getunicode('greeting') or name}!"


@application.post("/form")
def form():
    return {"field": bottle.request.forms.getunicode("field")}
