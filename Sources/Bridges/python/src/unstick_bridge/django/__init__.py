"""Django adapter. Put `unstick_bridge.django.UnstickMiddleware` first in MIDDLEWARE."""

from .middleware import UnstickMiddleware

__all__ = ["UnstickMiddleware"]
