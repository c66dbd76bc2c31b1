from django.conf import settings


def served_by(get_response):
    """Shows a person which instance answered."""

    def middleware(request):
        response = get_response(request)
        response["X-Served-By"] = settings.INSTANCE_NAME
        return response

    return middleware
