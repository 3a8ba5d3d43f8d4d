"""Pyramid says hello."""

from pyramid.config import Configurator
from pyramid.response import Response


def hello(request):
    return Response(f"Hello, {request.params.get('greeting') or request.matchdict['name']}!")


def form(request):
    return {"field": request.POST["field"]}


with Configurator() as config:
    config.add_route("hello", "/hello/{name}")
    config.add_view(hello, route_name="hello")
    config.add_route("form", "/form")
    config.add_view(form, route_name="form", renderer="json", request_method="POST")
    application = config.make_wsgi_app()
