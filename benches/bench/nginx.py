"""nginx with one worker: in front of a server by uwsgi_pass, or serving files by itself."""

import pathlib
import shutil

from .peers import Unfit
from .server import Server, free_port

CONFIGURATION = """\
daemon off;
{user}worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    types {{ text/plain txt; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{upstream}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
{location}
    }}
}}
"""

PASS = """\
        location / {{
            uwsgi_pass unix:{socket};
            uwsgi_param QUERY_STRING $query_string;
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param CONTENT_TYPE $content_type;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param DOCUMENT_ROOT $document_root;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param REQUEST_SCHEME $scheme;
            uwsgi_param HTTPS $https if_not_empty;
            uwsgi_param REMOTE_ADDR $remote_addr;
            uwsgi_param REMOTE_PORT $remote_port;
            uwsgi_param SERVER_PORT $server_port;
            uwsgi_param SERVER_NAME $server_name;
        }}"""

KEPT = """\
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}"""

UPSTREAM = "    upstream app {{ server unix:{socket}; keepalive 64; }}"

FILES = """\
        location /static/ {{ alias {static}/; open_file_cache max=100; }}"""


def start(name, folder, cores, location, root, upstream=""):
    """`folder` is the server's own; it is made."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not path:
        raise Unfit("nginx is not here (Debian: apt install nginx-light)")
    port = free_port()
    folder = pathlib.Path(folder) / f"nginx-{port}"
    folder.mkdir(parents=True)
    user = "user root;\n" if root else ""
    (folder / "nginx.conf").write_text(
        CONFIGURATION.format(
            folder=folder, port=port, location=location, user=user, upstream=upstream
        )
    )
    return Server(
        name, [path, "-c", folder / "nginx.conf", "-p", folder], port, folder / "log", cores
    )


def in_front_of(socket, folder, cores, root, speaks="uwsgi"):
    if speaks == "kept":
        return start("nginx", folder, cores, KEPT.format(), root, UPSTREAM.format(socket=socket))
    return start("nginx", folder, cores, PASS.format(socket=socket), root)


def of_files(static, folder, cores, root):
    return start("nginx", folder, cores, FILES.format(static=static), root)
