"""A plain HTTP/1.1 client that hides nothing: raw status, headers and body, and streams read event by event."""

import http.client
import json
import urllib.parse
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 60


@dataclass
class Answer:
    """One response, whole. For a stream `events` holds the JSON of each `data:` line but `[DONE]`."""

    status: int
    headers: dict[str, str]
    text: str
    events: list[dict] = field(default_factory=list)
    done: bool = False

    @property
    def json(self) -> dict:
        return json.loads(self.text)


def get(url: str) -> Answer:
    return request("GET", url, None)


def post(url: str, body: dict | str | bytes, **headers: str) -> Answer:
    return request("POST", url, body, **headers)


def request(method: str, url: str, body: dict | str | bytes | None, **headers: str) -> Answer:
    """Header names are given with `_` for `-`."""
    open_stream = Stream(method, url, body, **headers)
    with open_stream:
        return open_stream.rest()


class Stream:
    """A request whose answer is read as it comes; leaving the `with` block closes the connection."""

    def __init__(self, method: str, url: str, body: dict | str | bytes | None, **headers: str):
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        raw = json.dumps(body) if isinstance(body, dict) else body
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if raw is not None:
            sent.setdefault("content-type", "application/json")
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self.connection.request(method, target, raw, sent)
        self._response = None

    @property
    def response(self) -> http.client.HTTPResponse:
        """Waits for the head of the answer."""
        if self._response is None:
            self._response = self.connection.getresponse()
        return self._response

    def next_event(self) -> dict | None:
        """The next event's JSON; None at `[DONE]` or at the end."""
        for line in self.response:
            if line.startswith(b"data: "):
                data = line[6:].strip()
                return None if data == b"[DONE]" else json.loads(data)
        return None

    def rest(self) -> Answer:
        text = self.response.read().decode(errors="replace")
        answer = Answer(self.response.status, {k.lower(): v for k, v in self.response.getheaders()}, text)
        for line in text.splitlines():
            if line == "data: [DONE]":
                answer.done = True
            elif line.startswith("data: "):
                answer.events.append(json.loads(line[6:]))
        return answer

    def leave(self) -> None:
        """Goes away as a client does that was killed: nothing is read any more."""
        if self._response is not None:
            self._response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()
