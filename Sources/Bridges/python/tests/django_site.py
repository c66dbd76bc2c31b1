"""A site for tests. Every view is a few lines that do one thing to the session."""

import json

from asgiref.sync import sync_to_async
from django.contrib.auth import authenticate, login
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

#: Views of tests that need to do something in the middle of a request.
hooks = {}


def set_value(request):
    request.session[request.GET["key"]] = json.loads(request.GET["value"])
    return HttpResponse("set")


def get_value(request):
    return HttpResponse(json.dumps(request.session.get(request.GET["key"])))


def nested(request):
    """A change inside a value, which Django does not notice."""
    request.session.get("cart", {})["unnoticed"] = True
    return HttpResponse("dropped")


def untouched(request):
    return HttpResponse("hello")


def log_in(request):
    login(request, authenticate(request, username="ada", password="lovelace"))
    return HttpResponse("welcome")


def log_out(request):
    request.session.flush()
    return HttpResponse("bye")


def fail(request):
    request.session["n"] = "not saved"
    return HttpResponse("sorry", status=500)


def odd(request):
    request.session["odd"] = (1, 2)
    return HttpResponse("odd")


def short(request):
    request.session["n"] = 1
    request.session.set_expiry(300)
    return HttpResponse("short")


def stream(request):
    request.session.get("n")

    def body():
        yield b"one "
        request.session["n"] = "streamed"
        request.session.save()
        yield b"two"

    response = StreamingHttpResponse(body())
    if "length" in request.GET:
        response["Content-Length"] = "7"
    return response


def file(request):
    import io

    return FileResponse(io.BytesIO(b"file"))


def hook(request):
    return hooks["view"](request)


async def async_set(request):
    value = json.loads(request.GET["value"])
    if hasattr(request.session, "aset"):
        await request.session.aset("n", value)
    else:
        # Before Django 5.1 sessions were synchronous only.
        await sync_to_async(request.session.__setitem__)("n", value)
    return HttpResponse("set")


async def async_log_out(request):
    await (request.session.aflush() if hasattr(request.session, "aflush") else sync_to_async(request.session.flush)())
    return HttpResponse("bye")


def turned_away(get_response):
    """A middleware that answers before the session is opened."""
    return lambda request: HttpResponse("elsewhere", status=301)


urlpatterns = [
    path(view.__name__, view)
    for view in (
        set_value,
        get_value,
        nested,
        untouched,
        log_in,
        log_out,
        fail,
        odd,
        short,
        stream,
        file,
        hook,
        async_set,
        async_log_out,
    )
]
