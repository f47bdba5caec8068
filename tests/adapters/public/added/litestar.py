import demur
import using_session_auth as theirs
from demur.adapters.litestar import Demur, session_auth
from litestar import Litestar

bridge = session_auth(theirs.session_auth, lambda user: demur.person(user.id, user.name))
rules = {"/**": "app", "/user": "signed-in", "/schema/**": {"groups": ["staff"]}}
plugin = Demur(bridge=bridge, rules=[{"path": path, "allow": who} for path, who in rules.items()])
views = [theirs.login, theirs.signup, theirs.get_user]
app = Litestar(views, on_app_init=[theirs.session_auth.on_app_init], plugins=[plugin])
