from demur.adapters.flask import Demur, FlaskLogin
from example import app

rules = [{"path": "/**", "allow": "app"}, {"path": "/protected", "allow": "signed-in"}]
Demur(app, bridge=FlaskLogin(), login="/login", rules=rules)
