"""gunicorn's settings of a Django project."""
import multiprocessing
import os

bind = ["0.0.0.0:8000", "unix:/run/app.sock"]
workers = multiprocessing.cpu_count() * 2 + 1
threads = 4  # per worker
worker_class = "gthread"
timeout = 30
graceful_timeout = 20
keepalive = 5
max_requests = 1000
max_requests_jitter = 50
chdir = "/srv/app"
wsgi_app = "mysite.wsgi:application"
user = "www-data"
accesslog = "-"
errorlog = "/var/log/app.log"
loglevel = os.environ.get("LOG_LEVEL", "info")
preload_app = True
raw_env = [
    "DJANGO_SETTINGS_MODULE=mysite.settings",
    "TZ=UTC",
]


def on_starting(server):
    print("starting")
