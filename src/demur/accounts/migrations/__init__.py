"""How the tables came to be what they are: one Alembic revision after the other, run when the database is opened."""
