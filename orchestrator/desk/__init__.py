"""What a request asks for, done in transactions; and what outlives a request.

The desks take wishes as plain records, run the statements of `store/` in one
transaction each, and raise a named refusal when the state does not allow it.
They know neither HTTP nor JSON.
"""
