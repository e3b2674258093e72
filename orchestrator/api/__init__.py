"""HTTP: a view reads a request, calls one function of desk or store, writes the answer.

No rule about runs lives here. What does: who may ask (`access`), how a body is
read (`body`, `reader`), what a member may hold (`wire`), and how a refusal
looks (`problems`).
"""
