"""The routes of the test project."""

from django.contrib import admin
from django.urls import path

from site_app import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("hello/", views.hello),
    path("form/", views.form),
    path("counter/", views.counter),
    path("upload/", views.upload),
    path("file/", views.file),
    path("memory/", views.memory),
    path("stream/", views.stream),
    path("cookies/", views.cookies),
    path("users/", views.users),
    path("broken/", views.broken),
    path("where/<path:rest>", views.where),
]
