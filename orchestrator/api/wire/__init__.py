"""What may stand in a body: strict pydantic models, one module for each resource.

Models of requests are what reads them. Models of answers only describe them in
the OpenAPI document; a contract test holds real answers against them.
"""
