"""A notepad whose notes live in the session, and the session in this process's memory."""

import os

from cachelib.simple import SimpleCache
from flask import Flask, Response, redirect, render_template, request, session, url_for
from flask_session import Session


def create_app(name: str) -> Flask:
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=os.environ.get("NOTES_SECRET_KEY", "notes-are-an-example-and-this-key-is-public-knowledge"),
        SESSION_TYPE="cachelib",
        # SimpleCache's default threshold of 500 would drop the 501st visitor's notes.
        SESSION_CACHELIB=SimpleCache(threshold=1_000_000),
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=1800,
    )
    Session(app)
    if os.environ.get("UNSTICK_SECRET_FILE"):
        from unstick_bridge.flask import Unstick

        Unstick(app)

    @app.after_request
    def served_by(response: Response) -> Response:
        response.headers["X-Served-By"] = name
        return response

    @app.get("/")
    def index() -> str:
        return render_template("index.html", notes=session.get("notes", []), instance=name)

    @app.post("/notes")
    def add() -> Response:
        text = request.form.get("text", "").strip()[:500]
        if text:
            # Assigned anew: Flask-Session does not notice changes inside a value.
            session["notes"] = [*session.get("notes", []), text]
        return redirect(url_for("index"))

    @app.post("/notes/clear")
    def clear() -> Response:
        session.clear()
        return redirect(url_for("index"))

    add_probes(app)
    return app


def add_probes(app: Flask) -> None:
    """Endpoints for health checks and for load generators that check every answer."""

    @app.get("/healthz")
    def healthz() -> Response:
        return text("ok")

    @app.post("/increment")
    def increment() -> Response:
        key = counter()
        session[key] = session.get(key, 0) + 1
        return text(session[key])

    @app.get("/value")
    def value() -> Response:
        return text(session.get(counter(), 0))

    @app.post("/logout")
    def logout() -> Response:
        session.clear()
        return text("bye")

    @app.post("/login-as")
    def login_as() -> Response:
        """Changes the session id as a login does."""
        session["user"] = request.args.get("user", "visitor")
        app.session_interface.regenerate(session)
        return text(session["user"])

    def counter() -> str:
        return "counter:" + request.args.get("key", "")

    def text(value: object) -> Response:
        return Response(str(value), content_type="text/plain; charset=utf-8")
