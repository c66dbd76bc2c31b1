"""Endpoints for health checks and for load generators that check every answer."""

from django.contrib.auth import get_user_model, login
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST


def _text(value, status=200):
    return HttpResponse(f"{value}", status=status, content_type="text/plain; charset=utf-8")


@require_GET
def healthz(request):
    return _text("ok")


@csrf_exempt
@require_POST
def increment(request):
    """Adds one to a counter of the session and answers the new value."""
    key = _counter(request)
    value = request.session.get(key, 0) + 1
    request.session[key] = value
    return _text(value)


@require_GET
def value(request):
    """The counter, 0 if there is none. Creates no session."""
    return _text(request.session.get(_counter(request), 0))


@csrf_exempt
@require_POST
def logout(request):
    request.session.flush()
    return _text("bye")


@csrf_exempt
@require_POST
def login_as(request):
    """Logs in as `?user=U` without a password, so that a test can watch the session id change.

    The account is one made for this, without staff rights and without a password: no way into the admin.
    """
    name = request.GET.get("user", "visitor")
    user, _ = get_user_model().objects.get_or_create(username=f"probe-{name}"[:150])
    if user.is_staff or user.is_superuser:
        return _text("not for staff", status=403)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return _text(user.get_username())


def _counter(request):
    return "counter:" + request.GET.get("key", "")
