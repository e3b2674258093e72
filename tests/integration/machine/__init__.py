"""
A rule-based state machine that leads runs at random, and asks the model the same.

Each rule asks the service something by its HTTP face, and `service_model` what must come of
it. What was asked is kept as it was, with its keys: `Repeats` asks any of it again.
"""
