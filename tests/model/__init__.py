"""The Spin models: what they are checked for, by which mutants, and the command that does it."""
