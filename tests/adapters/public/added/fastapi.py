import jwt
from demur.adapters.fastapi import Demur
from demur.adapters.starlette.bridges import token
from tutorial005 import ALGORITHM, SECRET_KEY, app


def read(sent):
    return jwt.decode(sent, SECRET_KEY, algorithms=[ALGORITHM])


bridge = token(read, invalid=jwt.InvalidTokenError, expired=jwt.ExpiredSignatureError)
rules = [{"path": "/**", "allow": "app"}, {"path": "/users/**", "allow": "signed-in"}]
app.add_middleware(Demur, bridge=bridge, accepts=["bearer"], rules=rules)
