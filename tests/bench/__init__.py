"""The bench: the product over HTTP beside pgbench, on one database, in one run."""
