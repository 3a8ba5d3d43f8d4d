"""Falcon says hello."""

import falcon


class Hello:
    def on_get(self, request, response, name):
        response.text = f"Hello, {request.get_param('greeting') or name}!"

    def on_post(self, request, response, name):
        response.media = {"name": name, "got": request.get_media()}


application = falcon.App()
application.add_route("/hello/{name}", Hello())
