"""The mutants: Dibs with one guard broken, and the tests that must notice (`make mutants`)."""
