"""Flask: an extension that judges the marks beside views, after routing and before the content is read.

- Marks only mark, on functions, classes and blueprints; no order of decorators opens a view.
- Whoever an app has signed in is told by a bridge; with `store`, demur's own sessions are used.
"""

from demur.adapters.flask.extension import Demur
from demur.adapters.flask.logins import FlaskLogin, in_session

__all__ = ["Demur", "FlaskLogin", "in_session"]
