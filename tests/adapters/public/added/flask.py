import demur
from demur.adapters.flask import Demur, in_session
from flaskr import create_app
from flaskr.db import get_db


def load(user_id):
    user = get_db().execute("SELECT * FROM user WHERE id = ?", (user_id,)).fetchone()
    return user and demur.person(user["id"], user["username"])


app = create_app()
rules = {"/**": "app", "/create": "signed-in", "/{id}/update": "signed-in", "/{id}/delete": "signed-in"}
Demur(app, bridge=in_session(load), login="/auth/login", rules=[{"path": p, "allow": a} for p, a in rules.items()])
