"""What the schema, the statements and the desks promise, on a real Postgres."""
