"""Texts that were reviewed, and that a change shows up in."""
