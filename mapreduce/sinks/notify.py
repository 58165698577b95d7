"""Chat and push services are told, by Apprise."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, unquote_plus

from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.figures import count, visible
from mapreduce.sinks.news import News
from mapreduce.sinks.secret import Secret, is_secret
from mapreduce.sinks.teller import Teller
from mapreduce.tabular import demand

_PLAIN = ("json", "jsons", "xml", "xmls", "form", "forms", "syslog", "dbus", "gnome")
"""Schemes whose URLs need hold no secret."""
_BARE = re.compile(r"[a-z]+://[^@?#]*\Z")
_LONGEST = 1_500
"""Characters of a message: fewer than most services take."""
_LINE = 300
_ERRORS = 3
"""Causes that are told."""
_TYPES = {"SUCCEEDED": "success", "FAILED": "failure"}
"""Apprise's kinds of news by status; all others are warnings."""


class Notify(Teller):
    """A sink that sends status, figures and the first errors to services, each by its Apprise URL.

    urls: one, or a list. Such a URL holds tokens, so it is a Secret. Plain text may be one of json, xml, form
    (with s), syslog, dbus and gnome that has no user, no password and no query; if its path is to be kept
    secret, give a Secret as well. A service that was told is not told again when others fail, as long as the
    process lives.
    """

    def __init__(
        self,
        urls: Secret | str | Sequence[Secret | str],
        *,
        name: str = "notify",
        alert: bool = False,
        patience: float = 60.0,
    ) -> None:
        super().__init__(name, alert=alert, patience=patience)
        given = [urls] if isinstance(urls, (Secret, str)) else urls
        if type(given) not in (list, tuple) or not given:
            raise JobError(
                f"Notify: urls is a {type(urls).__name__}.", hint="Give a Secret, or a list of some."
            )
        self.urls = [_checked(url) for url in given]
        self.secrets = tuple(url for url in self.urls if isinstance(url, Secret))
        self._told: set[tuple[str, int]] = set()

    def __repr__(self) -> str:
        return f"Notify({self.urls!r})"

    def tell(self, news: News, key: str) -> None:
        """Tell each service once. Raises SinkError if some were not told, SinkRefused if that is for good."""
        try:
            demand("apprise", "notify", "Notify")
        except JobError as error:
            raise SinkRefused(error.message, hint=error.hint) from None
        failures: list[SinkError] = []
        for index, url in enumerate(self.urls):
            if (key, index) in self._told:
                continue
            try:
                _send(url, f"Service {index + 1}, {_shown(url)},", news)
                self._told.add((key, index))
            except SinkError as error:
                failures.append(error)
        if failures:
            raise self._failure(failures)
        self._told -= {(key, index) for index in range(len(self.urls))}

    def _failure(self, failures: Sequence[SinkError]) -> SinkError:
        may_pass = [error for error in failures if not isinstance(error, SinkRefused)]
        first = may_pass[0] if may_pass else failures[0]
        if len(self.urls) == 1:
            return first
        told = f"{len(failures)} of {count(len(self.urls), 'service')} were not told. {first.message}"
        return type(first)(told, hint=first.hint)


def _checked(url: Any) -> Secret | str:
    if isinstance(url, str) and url.partition("://")[0] in _PLAIN and _BARE.match(url):
        return url
    return is_secret(url, "A URL of Notify")


def _shown(url: Secret | str) -> str:
    """Which one it is, without its host and path."""
    return repr(url) if isinstance(url, Secret) else f"{url.partition('://')[0]}://…"


def _send(url: Secret | str, which: str, news: News) -> None:
    import apprise

    whole = url.reveal() if isinstance(url, Secret) else url
    with _heard() as lines:
        service = apprise.Apprise.instantiate(whole, asset=apprise.AppriseAsset(app_id="mapreduce"))
        try:
            is_told = service is not None and service.notify(
                body=_body(news),
                title=news.subject,
                notify_type=_type_of(news.report.status),
                body_format=apprise.NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001 - a service's own code may raise anything
            lines.append(f"{type(error).__name__}: {error}")
            is_told = False
    reason = _without_parts("; ".join(lines), whole)
    if service is None:
        raise SinkRefused(
            f"{which} is no URL that Apprise takes.", hint="Mend it: see Apprise's documentation."
        )
    if not is_told:
        raise SinkError(
            f"{which} was not told: {reason or 'Apprise does not say why'}.",
            hint="Look whether the service can be reached, and whether the tokens in its URL are good.",
        )


def _type_of(status: str) -> Any:
    import apprise

    return apprise.NotifyType(_TYPES.get(status, "warning"))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What Apprise logs in this thread meanwhile, from warnings on: it tells nobody else why it failed."""
    lines: list[str] = []
    thread = threading.get_ident()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                lines.append(record.getMessage())

    ear = Ear(logging.WARNING)
    logger = logging.getLogger("apprise")
    logger.addHandler(ear)
    try:
        yield lines
    finally:
        logger.removeHandler(ear)


def _without_parts(text: str, url: str) -> str:
    """The text on one line, without the URL, and without any part of it that may be a token."""
    pieces = {url, *re.split(r"[/:@?&=#,;]+", url.partition("://")[2])}
    forms = {form for piece in pieces for form in (piece, unquote(piece), unquote_plus(piece))}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) >= _SHORTEST:
            text = re.sub(re.escape(form), "…", text, flags=re.IGNORECASE)
    return _cut(visible(text.strip()).rstrip("."), _LINE)


_SHORTEST = 4
"""Characters of what may be a token; shorter ones are parts of any word."""


def _body(news: News) -> str:
    """A few lines: status, figures, the first causes of what went wrong, and where the result lies."""
    report = news.report
    lines = [f"{visible(report.status)}: {visible(report.subtitle)}"]
    lines += [f"{label}: {text}" for label, text in report.highlights]
    errors = news.facts["errors"]
    lines += [_error(error) for error in errors[:_ERRORS]]
    if (more := len(errors) - _ERRORS) > 0:
        lines.append(f"… and {count(more, 'other cause')}")
    if place := news.facts.get("place"):
        lines.append(f"place: {_cut(visible(place), _LINE)}")
    return _cut("\n".join(lines), _LONGEST)


def _error(error: dict[str, Any]) -> str:
    number = f"{error['number']:,} × " if error["number"] > 1 else ""
    return f"{number}{_cut(visible(error['message']), _LINE)}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
