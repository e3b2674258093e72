"""Whether a claim stays as cheap on a full table, under an old snapshot and while old runs go."""
