"""What somebody's browser does with a page: keeps cookies, and sends forms as they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

import httpx2

SIGN_IN = "/ui/sign-in"
FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass
class Form:
    """A form that is sent by POST, with what stands in it."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._inside: Form | None = None
        self._text = ""
        self._field = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form" and said.get("method") == "post":
            self._inside = Form(said["action"])
            self.found.append(self._inside)
        elif self._inside is None:
            return
        elif tag == "input":
            self._inside.fields[said["name"]] = said.get("value", "")
        elif tag in ("textarea", "select"):
            self._field, self._text = said["name"], ""
            self._inside.fields[self._field] = ""
        elif tag == "option" and "selected" in said:
            self._inside.fields[self._field] = said["value"]

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._inside is not None:
            self._inside.fields[self._field] = self._text
        if tag == "form":
            self._inside = None


def all_forms_of(page: httpx2.Response) -> list[Form]:
    """The forms of a page that are sent by POST, with what is filled in, in order."""
    reader = _Forms()
    reader.feed(page.text)
    return reader.found


def forms_of(page: httpx2.Response) -> dict[str, Form]:
    """The same, by the last word of where they go."""
    return {form.action.partition("?")[0].rpartition("/")[2]: form for form in all_forms_of(page)}


def form_at(page: httpx2.Response, action: str) -> Form | None:
    """The form of a page that is sent there."""
    reader = _Forms()
    reader.feed(page.text)
    return next((form for form in reader.found if form.action == action), None)


class Browser:
    """One browser: it follows no redirect unless told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.Client(base_url=url, timeout=40, trust_env=False, verify=False)

    def close(self) -> None:
        self.http.close()

    def open(self, path: str) -> httpx2.Response:
        return self.http.get(path)

    def post(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Send a form from a page of this service, unless the headers say otherwise."""
        said = {"Origin": self.url, "Sec-Fetch-Site": "same-origin", "Content-Type": FORM_TYPE}
        return self.http.post(path, content=urlencode(fields), headers=headers or said)

    def send(self, form: Form, **changed: str) -> httpx2.Response:
        """Send a form with these fields filled in."""
        return self.post(form.action, form.fields | changed)

    def sign_in(self, token: str, path: str = SIGN_IN) -> httpx2.Response:
        """Fill in the form that stands at this address, and send it."""
        return self.send(forms_of(self.open(path))["sign-in"], token=token)
