"""Flask, by the shortest way from the server to a view and back.

What Flask has on that way and Dibs does not use cost more than a claim's own part of
it: sessions, coroutine views, hooks of blueprints that have none, and routes bound anew
to the Host of each request. It is passed by in the methods that Flask has for that.
`request`, `g` and `current_app` are what they always are, and hooks of the application
are called when there are any. For views that are `direct`, what every run passes
through, neither is made: they are called with nothing but the `Call` around them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from apiflask import APIFlask
from flask import Flask, Request, Response
from flask.ctx import RequestContext
from flask.sessions import NullSession, SessionInterface
from flask.signals import request_finished, request_started
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, Rule

from orchestrator.api.access import admit
from orchestrator.api.call import PRESENT, Call, call
from orchestrator.api.context import EXTENSION
from orchestrator.api.direct import is_direct
from orchestrator.api.problems import answer_problem
from orchestrator.api.request_id import give_request_id, take_request_id
from orchestrator.api.traffic import Traffic
from orchestrator.store.patience import new_patience

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_HOSTS_KEPT: Final = 64


class _NoSessions(SessionInterface):
    """No request has a session."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002
        return self._none


class _Context(RequestContext):
    """What Flask knows of one request."""

    app: Application

    def match_request(self) -> None:
        """Find the request's route, or note why there is none."""
        asked, routes = self.request, self.url_adapter
        present = call()
        if routes is None:
            return
        called = (asked.environ["REQUEST_METHOD"], asked.environ["PATH_INFO"])
        plain = self.app.plain_routes.get(called)
        if plain and not routes.websocket:
            present.rule = asked.url_rule = plain
            asked.view_args = {}
            return
        try:
            route, variables = routes.match(asked.path, asked.method, return_rule=True)
        except HTTPException as refusal:
            asked.routing_exception = refusal
        else:
            present.rule = asked.url_rule = route
            asked.view_args = dict(variables)


class Application(APIFlask):
    """The application of one process."""

    session_interface = _NoSessions()
    traffic: Traffic | None = None
    """Counts requests, once all routes are known."""

    @cached_property
    def plain_routes(self) -> dict[tuple[str, str], Rule]:
        """Routes without a variable part, by method and path; they come before all others."""
        return {
            (method, rule.rule): rule
            for rule in self.url_map.iter_rules()
            if not rule.arguments
            for method in rule.methods or ()
        }

    @cached_property
    def direct_routes(self) -> dict[tuple[str, str], Rule]:
        """Those of the plain routes whose views are `direct`; none when there are hooks to call."""
        self._got_first_request = True
        hooks = (
            self.before_request_funcs,
            self.after_request_funcs,
            self.teardown_request_funcs,
            self.teardown_appcontext_funcs,
        )
        return {
            called: rule
            for called, rule in self.plain_routes.items()
            if is_direct(self.view_functions[rule.endpoint]) and not any(hooks)
        }

    @cached_property
    def _routes_for(self) -> Callable[[str, str | None], MapAdapter]:
        @lru_cache(maxsize=_HOSTS_KEPT)
        def bind(scheme: str, host: str | None) -> MapAdapter:
            named = {} if host is None else {"HTTP_HOST": host}
            return self.url_map.bind_to_environ(
                {
                    "wsgi.url_scheme": scheme,
                    "SERVER_NAME": "localhost",
                    "SERVER_PORT": "80",
                    "REQUEST_METHOD": "GET",
                    **named,
                },
                subdomain="",
            )

        return bind

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request. Its waits for the database end together: token, act and answer."""
        if self.traffic is not None:
            self.traffic.begin(environ)
        # One without services has no view that asks for them.
        present = Call(environ, self.extensions.get(EXTENSION))  # type: ignore[arg-type]
        token = PRESENT.set(present)
        try:
            with new_patience():
                rule = self._direct_route(environ)
                if rule is None:
                    return super().wsgi_app(environ, start_response)
                present.rule = rule
                return self._answered_directly(present, rule)(environ, start_response)
        finally:
            PRESENT.reset(token)

    def _direct_route(self, environ: WSGIEnvironment) -> Rule | None:
        """The route of a request that needs none of Flask's contexts."""
        rule = self.direct_routes.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if rule is None or "HTTP_UPGRADE" in environ:
            return None
        if request_started.receivers or request_finished.receivers:
            return None
        try:
            self._routes_for(environ["wsgi.url_scheme"], environ.get("HTTP_HOST"))
        except HTTPException:
            # A Host that cannot be.
            return None
        return rule

    def _answered_directly(self, present: Call, rule: Rule) -> Response:
        view = self.view_functions[rule.endpoint]
        try:
            take_request_id(present)
            admit(present, view)
            answered: Response = view()  # type: ignore[assignment]
        except Exception as refusal:  # noqa: BLE001 - every exception has an answer
            answered = answer_problem(refusal)
        return self._completed(present, answered)

    def request_context(self, environ: WSGIEnvironment) -> RequestContext:
        return _Context(self, environ)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """The routes, kept for each Host: they are alike, but a Host that cannot be is refused."""
        if request is None or "HTTP_UPGRADE" in request.environ:
            return super().create_url_adapter(request)
        return self._routes_for(
            request.environ["wsgi.url_scheme"], request.environ.get("HTTP_HOST")
        )

    def full_dispatch_request(self) -> Response:
        """Answer the request that the context is of; signals are sent when somebody listens."""
        if request_started.receivers or request_finished.receivers:
            return super().full_dispatch_request()
        self._got_first_request = True
        try:
            answered = self.preprocess_request()
            if answered is None:
                answered = self.dispatch_request()
        except Exception as refusal:  # noqa: BLE001 - Flask knows which of them have an answer
            answered = self.handle_user_exception(refusal)
        if not isinstance(answered, Response):
            answered = self.make_response(answered)
        return self.process_response(answered)

    def preprocess_request(self) -> ResponseReturnValue | None:
        """Give the request its id, and let it in."""
        present = call()
        take_request_id(present)
        if self.before_request_funcs and (answered := super().preprocess_request()) is not None:
            return answered
        rule = present.rule
        admit(present, self.view_functions.get(rule.endpoint) if rule else None)
        return None

    def process_response(self, response: Response) -> Response:
        """Put the request's id into its answer."""
        if self.after_request_funcs:
            response = super().process_response(response)
        return self._completed(call(), response)

    def _completed(self, present: Call, response: Response) -> Response:
        give_request_id(present, response)
        if self.traffic is not None:
            self.traffic.end(present, response.status_code)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        if self.teardown_request_funcs:
            super().do_teardown_request(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        if self.teardown_appcontext_funcs:
            super().do_teardown_appcontext(exc)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As it is: no view is a coroutine."""
        return func
