"""The pages under `/.demur/`: a table of framework-free handlers that a surface mounts."""
