"""Clients that stream without pause, as real ones do: kept connections, whole answers, and nothing tried twice."""

import http.client
import json
import random
import select
import threading
import time
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field

from cluster import until

CHAT = "/v1/chat/completions"
TIMEOUT_SECONDS = 30
WORDS = "river stone light under over when small green moves holds early late north south open close".split()
# The router hands a prompt off from 512 tokens on: these are clearly on either side.
SHORT_WORDS, LONG_WORDS = 40, 1500


class Failed(Exception):
    """What a user would call a failed request: an error, or an answer that is not whole."""


@dataclass
class Answer:
    """One whole stream."""

    headers: dict[str, str]
    first_token_seconds: float

    @property
    def handed_off(self) -> bool:
        return self.headers.get("x-qoe-plan") == "handoff"

    @property
    def endpoints(self) -> list[str]:
        """The pods that took part."""
        named = [self.headers[name] for name in ("x-qoe-prefill", "x-qoe-decoding") if name in self.headers]
        return [name.split("/")[-1] for name in named]


class Client:
    """One kept connection. It is left only when the other side has closed it, or says that it will."""

    def __init__(self, url: str):
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT_SECONDS)

    def stream(self, model: str, words: int, tokens: int) -> Answer:
        """Streams an answer of exactly `tokens` tokens to a prompt that nobody has cached; raises `Failed`."""
        self._leave_if_closed()
        started = time.monotonic()
        try:
            self.connection.request("POST", CHAT, json.dumps(_body(model, words, tokens)), HEADERS)
            response = self.connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            if response.status != 200:
                raise Failed(f"status {response.status}: {response.read(300).decode(errors='replace')}")
            return Answer(headers, _read_whole(response, tokens) - started)
        except Failed:
            self.close()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Failed(f"{type(error).__name__}: {error}") from error

    def models(self) -> list[str]:
        self._leave_if_closed()
        try:
            self.connection.request("GET", "/v1/models")
            response = self.connection.getresponse()
            said = response.read()
            if response.status != 200:
                raise Failed(f"status {response.status}: {said[:300]}")
            return [model["id"] for model in json.loads(said)["data"]]
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Failed(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        self.connection.close()

    def _leave_if_closed(self) -> None:
        """What every pool of connections does. Nothing has been asked, so anything there is to read is the end."""
        sock = self.connection.sock
        if sock is not None and select.select([sock], [], [], 0)[0]:
            self.close()


# Requests of each client without which a load says nothing.
ENOUGH = 10
HEADERS = {"content-type": "application/json", "x-qoe-explain": "1"}


def _body(model: str, words: int, tokens: int) -> dict:
    prompt = " ".join(random.choices(WORDS, k=words))
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _read_whole(response: http.client.HTTPResponse, tokens: int) -> float:
    """Reads a stream to its end and returns when the first token came; raises `Failed` if it is not whole."""
    first, pieces, counted, done = 0.0, 0, None, False
    for line in response:
        if not line.startswith(b"data: "):
            continue
        if done:
            raise Failed("something came after [DONE]")
        if line.strip() == b"data: [DONE]":
            done = True
            continue
        event = json.loads(line[6:])
        if "error" in event:
            raise Failed(f"broken off after {pieces} tokens: {event['error']}")
        if any(choice["delta"].get("content") for choice in event["choices"]):
            pieces += 1
            first = first or time.monotonic()
        if event.get("usage"):
            counted = event["usage"]["completion_tokens"]
    # Of an answer that came in one piece, with its length, the library does not notice the end by itself.
    response.read()
    if not done:
        raise Failed(f"the stream ended after {pieces} tokens without [DONE]")
    if (pieces, counted) != (tokens, tokens):
        raise Failed(f"{pieces} tokens came and {counted} were counted where {tokens} were asked for")
    return first


@dataclass
class Load:
    """`clients` streams at any time, until `stop`. Used as a context, it stops at the end."""

    url: str
    model: str
    clients: int = 20
    requests: int = 0
    handoffs: int = 0
    # When, and why.
    failures: list[tuple[str, str]] = field(default_factory=list)
    # How often each pod took part.
    pods: Counter = field(default_factory=Counter)
    first_token_seconds: list[float] = field(default_factory=list)

    def __post_init__(self):
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, failed, *_):
        if failed is None:
            # However quickly the rest went: enough is to be measured.
            until("enough requests were made", 60, lambda: self.requests > ENOUGH * self.clients)
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        client = Client(self.url)
        while not self._stopping.is_set():
            words = random.choice((SHORT_WORDS, SHORT_WORDS, LONG_WORDS))
            try:
                answer = client.stream(self.model, words, random.randint(20, 150))
            except Failed as failure:
                self._failed(str(failure))
            else:
                self._answered(answer)
        client.close()

    def _failed(self, why: str) -> None:
        with self._lock:
            self.requests += 1
            self.failures.append((time.strftime("%H:%M:%S"), why))
        # Whoever is refused does not hammer.
        self._stopping.wait(0.2)

    def _answered(self, answer: Answer) -> None:
        with self._lock:
            self.requests += 1
            self.handoffs += answer.handed_off
            self.pods.update(answer.endpoints)
            self.first_token_seconds.append(answer.first_token_seconds)

    def goes_on(self) -> None:
        """Waits for some more requests by each client, so that what just happened is measured too."""
        enough = self.requests + 5 * self.clients
        until("the load goes on", 60, lambda: self.requests > enough)

    def figures(self) -> str:
        """What came of it; AssertionError if a request failed, or none was handed off."""
        shown = "\n  ".join(" ".join(failure) for failure in self.failures[:10])
        assert not self.failures, f"{len(self.failures)} of {self.requests} requests failed:\n  {shown}"
        assert self.handoffs, "no request was handed off"
        worst = sorted(self.first_token_seconds)[int(len(self.first_token_seconds) * 0.99)]
        return (
            f"{self.requests} requests by {self.clients} clients, 0 failed, {self.handoffs} handed off, "
            f"first token p99 {worst * 1000:.0f} ms"
        )
