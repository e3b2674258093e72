"""What people see: pages, made here of what the API's own functions return.

A page knows who asks by a session (`session`), which the API never accepts. It is
rendered from templates in which nothing that came from a run can be markup
(`template`), is answered under one strict policy, and what it changes it changes
by a form that only it could have made (`form`), through the desk, like the API.
"""
