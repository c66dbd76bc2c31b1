from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from shop.models import Product

PRODUCTS = [
    ("kettle", "Copper kettle", "Whistles on G sharp.", "🫖", "49.00"),
    ("lamp", "Desk lamp", "Warm light, cold switch.", "💡", "32.50"),
    ("notebook", "Dotted notebook", "192 pages for what memory should not hold.", "📓", "11.90"),
    ("plant", "Rubber plant", "Grows without a balancer.", "🪴", "18.00"),
    ("umbrella", "Umbrella", "For failing clouds.", "☂️", "24.00"),
    ("watch", "Wrist watch", "Within sixty seconds of anybody's clock.", "⌚", "89.00"),
]


class Command(BaseCommand):
    help = "Makes the tables, the products and the user admin with the password unstick-demo. Safe to repeat."

    def handle(self, *args, **options):
        call_command("migrate", verbosity=0, interactive=False)
        for slug, name, description, emblem, price in PRODUCTS:
            fields = {"name": name, "description": description, "emblem": emblem, "price": price}
            Product.objects.get_or_create(slug=slug, defaults=fields)
        users = get_user_model()
        if not users.objects.filter(username="admin").exists():
            users.objects.create_superuser("admin", "admin@shop.example", "unstick-demo")
        self.stdout.write(f"{Product.objects.count()} products; sign in as admin / unstick-demo")
