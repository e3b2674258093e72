"""The adapter: what executors of another orchestrator ask, answered by this one.

Their contract is fixed, and knows neither leases nor owners. So each of them has a secret
of its own, which is its name; the token that each dispatch brings with it is proof of the
lease; and whatever it asks meanwhile is a sign of life. Here, and nowhere else, a GET
claims: these routes are there only when `DIBS_COMPAT` is on.
"""
