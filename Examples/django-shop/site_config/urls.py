from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.contrib.staticfiles.views import serve
from django.urls import path, re_path

from shop import probes, views

urlpatterns = [
    path("", views.catalogue, name="catalogue"),
    path("cart/", views.cart, name="cart"),
    path("cart/add/<slug:slug>", views.add, name="add"),
    path("cart/remove/<slug:slug>", views.remove, name="remove"),
    path("checkout/", views.checkout, name="checkout"),
    path("login/", LoginView.as_view(template_name="shop/login.html"), name="login"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("admin/", admin.site.urls),
    path("healthz", probes.healthz),
    path("increment", probes.increment),
    path("value", probes.value),
    path("logout", probes.logout),
    path("login-as", probes.login_as),
    # A demonstration: a real site lets its front server deliver these.
    re_path(r"^static/(?P<path>.*)$", serve, {"insecure": True}),
    *staticfiles_urlpatterns(),
]
