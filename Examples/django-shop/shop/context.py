from django.conf import settings


def instance(request):
    return {"instance": settings.INSTANCE_NAME, "cart_count": sum(request.session.get("cart", {}).values())}
