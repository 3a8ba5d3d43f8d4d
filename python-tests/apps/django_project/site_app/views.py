"""The views of the test project."""

import hashlib
import io

from django.contrib.auth.models import User
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import RequestContext, Template
from django.views.decorators.csrf import csrf_exempt

FORM = Template("<form method=post>{% csrf_token %}<input name=word></form>")


def hello(request):
    return HttpResponse("Hello from Django")


def form(request):
    if request.method == "POST":
        return HttpResponse(f"posted {request.POST['word']}")
    return HttpResponse(FORM.render(RequestContext(request)))


def counter(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


@csrf_exempt
def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    return JsonResponse(
        {
            "name": file.name,
            "size": file.size,
            "sha256": digest.hexdigest(),
            "word": request.POST["word"],
        }
    )


def file(request):
    return FileResponse(open(__file__, "rb"), as_attachment=True, filename="views.py")


def memory(request):
    return FileResponse(io.BytesIO(b"in memory " * 1000), filename="memory.txt")


def stream(request):
    return StreamingHttpResponse(
        (f"piece {number}\n" for number in range(5)), content_type="text/plain"
    )


def cookies(request):
    response = HttpResponse("cookies")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    response.set_signed_cookie("c", "3")
    return response


def users(request):
    return JsonResponse(
        {"users": list(User.objects.order_by("username").values_list("username", flat=True))}
    )


def broken(request):
    raise ValueError("a view that is broken")


def where(request, rest):
    return JsonResponse(
        {
            "path": request.path,
            "rest": rest,
            "get": request.GET.dict(),
            "host": request.get_host(),
            "uri": request.build_absolute_uri(),
        }
    )
