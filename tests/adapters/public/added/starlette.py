from demur.adapters.starlette import Demur
from demur.adapters.starlette.bridges import on_error, user
from tests.test_authentication import app as theirs

theirs.user_middleware[0].kwargs["on_error"] = on_error
rules = {"/**": "app", "/dashboard/**": "signed-in", "/admin/**": {"groups": ["staff"]}}
table = [{"path": path, "allow": who} for path, who in rules.items()]
app = Demur(theirs, bridge=user(), cookie="", accepts=["basic"], rules=table)
