"""The shed with the login that it has always had (tokens, as in FastAPI's tutorial), and demur's refusals and rules."""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import jwt
from api import PERMISSIONS, RULES, shed, wardens
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordRequestForm
from shed import Shed, is_right

import demur
from demur.adapters.fastapi import Demur, public, token

KEY = os.environ.get("SECRET_KEY", "change me to something of at least 32 bytes")


def create_app(folder: Path = Path()) -> FastAPI:
    """The app, with its file in a folder."""
    app = FastAPI(title="Tool shed")
    app.state.shed = people = Shed(folder)

    def read(text: str) -> Any:
        claims = jwt.decode(text, KEY, algorithms=["HS256"])
        member = people.member(key=int(claims["sub"]))
        if member is None:
            return demur.unknown  # they have left
        since, until = claims["iat"], claims["exp"]
        return demur.person(member.id, member.name, member.groups, authenticated_at=since, expires_at=until)

    app.add_middleware(
        Demur,
        bridge=token(read, invalid=jwt.InvalidTokenError, expired=jwt.ExpiredSignatureError),
        accepts=["bearer"],
        rules=RULES,
        permissions=PERMISSIONS,
    )
    app.include_router(shed)
    app.include_router(wardens)

    @app.post("/token", dependencies=[Depends(public)])
    def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
        """A token for a name and a password."""
        member = people.member(name=form.username)
        if not is_right(form.password, member.password if member else None) or member is None:
            raise HTTPException(400, "That is not right.")
        claims = {"sub": str(member.id), "iat": time.time(), "exp": time.time() + 3600}
        return {"access_token": jwt.encode(claims, KEY), "token_type": "bearer"}

    return app
