"""Sign in, step up, sign out: one file a method, and the life of a session beside them."""
