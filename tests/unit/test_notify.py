"""Services are told by Apprise: what they get, that nobody is told twice, and that no token gets out."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mapreduce import Job, JobResult, Notify, Records, Secret, Sum, run
from mapreduce.errors import JobError, SinkError, SinkRefused
from mapreduce.model import ErrorGroup, Status
from mapreduce.sinks.news import Alert, News, news_of

# Apprise imports all its services, and what those import may be out of date.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

KEY = "f" * 64
TOKEN = "T0KEN-abcdefghij"


class Service:
    """An HTTP server that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict]] = []
        self.answers: list[int] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.got.append((self.path, json.loads(body)))
                self.send_response(service.answers.pop(0) if service.answers else 200)
                self.end_headers()

            def log_message(self, *arguments) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def result(own_folder: Path) -> JobResult:
    return run(Job("words", Records(["a", "b"]), lambda word: [(word, 1)], Sum(), "out"), on="serial")


@pytest.fixture
def news(result: JobResult) -> News:
    return news_of(result)


def failed(result: JobResult, failure: ErrorGroup, status=Status.FAILED) -> News:
    manifest = replace(result.manifest, status=status, failure=failure, parts=())
    return news_of(JobResult(result.place, manifest))


def test_a_service_gets_status_figures_and_place(service: Service, news: News, result: JobResult):
    Notify(f"json://{service.address}/hook").tell(news, KEY)
    ((path, message),) = service.got
    assert path == "/hook"
    assert message["title"] == news.subject
    assert message["type"] == "success"
    lines = message["message"].splitlines()
    assert lines[0].startswith("SUCCEEDED: ")
    assert "records in: 2" in lines
    assert lines[-1] == f"place: {result.place}"


@pytest.mark.covers("X6", "a run that failed, and one that was cancelled, told to a service")
@pytest.mark.parametrize(("status", "kind"), [(Status.FAILED, "failure"), (Status.CANCELLED, "warning")])
def test_of_a_failed_run_the_first_causes_are_told(service: Service, result: JobResult, status, kind):
    failure = ErrorGroup("WorkerCrash", "it crashed\x1b[31m\nMORE", number=1_200)
    Notify(f"json://{service.address}").tell(failed(result, failure, status), KEY)
    ((_, message),) = service.got
    assert message["type"] == kind
    assert r"1,200 × it crashed\x1b[31m\nMORE" in message["message"].splitlines()


def test_an_alert_is_a_warning(service: Service):
    alert = Alert("words", "r", "", ErrorGroup("WorkerCrash", "it crashed"), "2026-01-01T00:00:00+00:00")
    Notify(f"json://{service.address}", alert=True).warn(alert, KEY)
    ((_, message),) = service.got
    assert (message["type"], message["title"]) == ("warning", "words goes on, but: it crashed")


def test_many_and_long_causes_are_cut_short(service: Service, news: News):
    errors = [{"number": 1, "message": f"{n} " + "x" * 5_000} for n in range(7)]
    told = News(news.event, news.subject, news.report, {**news.facts, "errors": errors})
    Notify(f"json://{service.address}").tell(told, KEY)
    ((_, message),) = service.got
    lines = message["message"].splitlines()
    assert "… and 4 other causes" in lines
    assert sum(line.endswith("xxx…") for line in lines) == 3
    assert len(message["message"]) <= 1_500


@pytest.mark.covers("X2", "a service that answers with errors, told by Apprise")
@pytest.mark.parametrize("answer", [500, 403, 404])
def test_a_service_that_says_no(service: Service, news: News, answer):
    service.answers = [answer]
    sink = Notify(f"json://{service.address}")
    with pytest.raises(SinkError, match=rf"Service 1, json://…, was not told: .*error={answer}") as refused:
        sink.tell(news, KEY)
    assert type(refused.value) is SinkError
    assert refused.value.hint
    sink.tell(news, KEY)
    assert len(service.got) == 2


@pytest.mark.covers("X2", "nobody listens where the service was")
def test_a_service_that_is_not_there(news: News):
    gone = Service()
    gone.close()
    with pytest.raises(SinkError, match="was not told") as refused:
        Notify(f"json://{gone.address}").tell(news, KEY)
    assert type(refused.value) is SinkError
    assert gone.address not in str(refused.value)


def test_who_was_told_is_not_told_again(service: Service, news: News):
    sink = Notify([f"json://{service.address}/{name}" for name in "abc"])
    service.answers = [200, 500, 200]
    with pytest.raises(SinkError, match=r"^1 of 3 services were not told\. Service 2, json://…,"):
        sink.tell(news, KEY)
    sink = pickle.loads(pickle.dumps(sink))
    sink.tell(news, KEY)
    assert [path for path, _ in service.got] == ["/a", "/b", "/c", "/b"]
    sink.tell(news, KEY)
    assert len(service.got) == 7, "a delivery that is asked for once more is made"


def test_other_news_are_told_whoever_was_told_of_the_first(service: Service, news: News):
    sink = Notify([f"json://{service.address}/{name}" for name in "ab"])
    service.answers = [200, 500]
    with pytest.raises(SinkError):
        sink.tell(news, KEY)
    sink.tell(news, "0" * 64)
    assert [path for path, _ in service.got] == ["/a", "/b", "/a", "/b"]


@pytest.mark.parametrize("url", ["nothing://x", "no url", "://", "slack://", f"tgram://{TOKEN}"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_url_that_apprise_does_not_know(service: Service, news: News, monkeypatch, url, others):
    monkeypatch.setenv("URL", url)
    urls = [Secret.env("URL"), *[f"json://{service.address}"] * others]
    with pytest.raises(SinkRefused, match=r"Service 1, Secret\.env\('URL'\), is no URL that Apprise"):
        Notify(urls).tell(news, KEY)
    assert len(service.got) == others


def test_what_may_pass_is_tried_again_beside_what_may_not(service: Service, news: News, monkeypatch):
    monkeypatch.setenv("URL", "nothing://x")
    service.answers = [500]
    with pytest.raises(SinkError, match=r"2 of 2 services were not told\. Service 2") as refused:
        Notify([Secret.env("URL"), f"json://{service.address}"]).tell(news, KEY)
    assert type(refused.value) is SinkError


@pytest.mark.covers("Q4", "tokens in an Apprise URL, when its service fails")
@pytest.mark.parametrize(
    "url",
    [
        f"json://user:{TOKEN}@{{}}/path",
        f"json://{{}}/{TOKEN}/hook",
        f"json://{{}}/?+X-Token={TOKEN}",
        f"json://user:{TOKEN}%2Fslash@{{}}/{TOKEN}",
    ],
)
@pytest.mark.parametrize("answer", ["gone", 500])
def test_no_token_gets_out(service: Service, news: News, monkeypatch, caplog, url, answer):
    service.answers = [500]
    if answer == "gone":
        service._server.server_close()
    monkeypatch.setenv("URL", url.format(service.address))
    sink = Notify(Secret.env("URL"))
    with pytest.raises(SinkError) as refused:
        sink.tell(news, KEY)
    told = f"{refused.value!r} {refused.value} {refused.value.hint} {sink!r} {pickle.dumps(sink)!r}"
    assert TOKEN not in told
    assert "was not told" in told


def test_a_log_that_quotes_a_token_is_scrubbed(news: News, monkeypatch):
    import apprise

    monkeypatch.setenv("URL", f"json://user:{TOKEN}%2Fx@127.0.0.1:9/My%20Channel?a=b")

    def notify(self, **arguments):
        logging.getLogger("apprise").warning("%s/x at 127.0.0.1 for my channel: no", TOKEN.lower())
        return False

    monkeypatch.setattr(apprise.NotifyBase, "notify", notify)
    with pytest.raises(SinkError) as refused:
        Notify(Secret.env("URL")).tell(news, KEY)
    assert refused.value.message == "Service 1, Secret.env('URL'), was not told: … at … for …: no."


def test_what_a_service_raises_is_told(news: News, monkeypatch):
    import apprise

    def notify(self, **arguments):
        raise RuntimeError(f"{TOKEN} is wrong\nreally")

    monkeypatch.setattr(apprise.NotifyBase, "notify", notify)
    monkeypatch.setenv("URL", f"json://127.0.0.1/{TOKEN}")
    with pytest.raises(SinkError, match=r"was not told: RuntimeError: … is wrong\\nreally\."):
        Notify(Secret.env("URL")).tell(news, KEY)


def test_what_apprise_logs_in_other_threads_is_not_taken_for_a_reason(service: Service, news: News):
    from mapreduce.sinks.notify import _heard

    before = list(logging.getLogger("apprise").handlers)
    with _heard() as lines:
        thread = threading.Thread(target=logging.getLogger("apprise").warning, args=("of another sink",))
        thread.start()
        thread.join()
        logging.getLogger("apprise").warning("ours")
    assert lines == ["ours"]
    assert logging.getLogger("apprise").handlers == before


def test_a_secret_that_is_not_there_is_told(news: News, monkeypatch):
    monkeypatch.delenv("URL", raising=False)
    with pytest.raises(SinkError, match="The environment has no URL"):
        Notify(Secret.env("URL")).tell(news, KEY)


def test_without_apprise_it_is_refused(news: News, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SinkRefused, match="needs apprise") as refused:
        Notify("json://127.0.0.1").tell(news, KEY)
    assert "pip install 'mapreduce[notify]'" in refused.value.hint


@pytest.mark.covers("Q4", "an Apprise URL with tokens, given as plain text")
@pytest.mark.parametrize(
    "url",
    [
        f"slack://{TOKEN}",
        f"json://user:{TOKEN}@host",
        f"json://{TOKEN}@host",
        f"json://host?+X-Token={TOKEN}",
        f"mailto://user:{TOKEN}@example.org",
        f"https://example.org/{TOKEN}",
        TOKEN,
    ],
)
def test_a_url_with_a_secret_is_no_plain_text(url):
    for urls in (url, [url], ["json://localhost", url]):
        with pytest.raises(JobError, match="not a Secret") as refused:
            Notify(urls)
        assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("urls", [[], None, 3, (), b"json://localhost", {"json://localhost"}, [3], [None]])
def test_what_is_no_list_of_urls_is_refused(urls):
    with pytest.raises(JobError):
        Notify(urls)


@pytest.mark.parametrize("url", ["json://localhost:8080/a", "syslog://", "xmls://example.org", "dbus://"])
def test_plain_urls(url):
    assert Notify(url).urls == [url]
    assert Notify(url).secrets == ()


def test_it_travels_with_the_job():
    sink = pickle.loads(pickle.dumps(Notify([Secret.env("A"), "syslog://"], name="chat", alert=True)))
    assert sink.secrets == (Secret.env("A"),)
    assert (sink.name, sink.alert, repr(sink)) == ("chat", True, "Notify([Secret.env('A'), 'syslog://'])")
