"""The shop: a catalogue, a cart kept in the session, and a checkout."""

from decimal import Decimal

from django.contrib import messages
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from .models import Order, Product


def catalogue(request):
    return render(request, "shop/catalogue.html", {"products": Product.objects.all()})


def cart(request):
    lines, total = _lines(request)
    return render(request, "shop/cart.html", {"lines": lines, "total": total})


@require_POST
def add(request, slug):
    product = get_object_or_404(Product, slug=slug)
    quantities = request.session.get("cart", {})
    quantities[slug] = quantities.get(slug, 0) + 1
    # Assigned anew: Django does not notice changes inside a value.
    request.session["cart"] = quantities
    messages.success(request, f"{product.name} is in your cart.")
    return redirect("catalogue")


@require_POST
def remove(request, slug):
    quantities = request.session.get("cart", {})
    if quantities.pop(slug, None) is not None:
        request.session["cart"] = quantities
    return redirect("cart")


@require_POST
def checkout(request):
    lines, total = _lines(request)
    if lines:
        summary = ", ".join(f"{line['quantity']} × {line['product'].name}" for line in lines)
        order = Order.objects.create(total=total, summary=summary)
        del request.session["cart"]
        messages.success(request, f"Thank you! Order {order.pk} is on its way.")
    return redirect("catalogue")


def _lines(request):
    quantities = request.session.get("cart", {})
    lines = [
        {"product": product, "quantity": quantities[product.slug], "amount": product.price * quantities[product.slug]}
        for product in Product.objects.filter(slug__in=quantities)
    ]
    return lines, sum((line["amount"] for line in lines), Decimal(0))
