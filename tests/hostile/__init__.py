"""Hostile input: every row of the list, as requests that a real server gets over a socket.

`rows` is the list in words, `table` the cases that stand for its rows, and `elsewhere`
names the tests that hold the rows which need more than a request. The cases are sent once
each by `tests/contract/test_hostile_input.py`, and again and again, while others work, by
`tests/acceptance/test_hostile_input.py`.
"""
