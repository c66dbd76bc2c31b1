import os
import tempfile

import django
from django.conf import settings
from kit import SECRET

_directory = tempfile.mkdtemp(prefix="unstick-bridge-tests-")
_secret = os.path.join(_directory, "bridge.key")
with open(_secret, "wb") as file:
    file.write(SECRET + b"\n")
_sessions = os.path.join(_directory, "sessions")
os.mkdir(_sessions)

settings.configure(
    ALLOWED_HOSTS=["*"],
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": "sessions",
            "OPTIONS": {"MAX_ENTRIES": 1_000_000},
        },
        "small": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "small"},
        "files": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": _directory},
    },
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(_directory, "test.db")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "unstick_bridge.django.UnstickMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF="django_site",
    SECRET_KEY="for tests",
    SESSION_COOKIE_AGE=1800,
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SESSION_FILE_PATH=_sessions,
    UNSTICK_SECRET_FILE=_secret,
    USE_TZ=True,
)
django.setup()


def pytest_sessionstart(session):
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    get_user_model().objects.create_user("ada", password="lovelace")


def pytest_sessionfinish(session):
    import shutil

    shutil.rmtree(_directory, ignore_errors=True)
