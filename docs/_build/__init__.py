"""The documents: reference pages are made from the code, and all of them into HTML."""
