"""The pages under `/.demur/`: framework-free handlers that a surface mounts."""
