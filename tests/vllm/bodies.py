"""Requests that no server has seen before, and what of an answer must not depend on who gave it."""

import itertools
import json
import uuid

from http_client import Answer

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
SENTENCE = " def main(self): return the value of the buffer and close the file;"
# Told apart from the first token on, so that no server has any part of a prompt in its cache.
_numbers = itertools.count()


def prompt(sentences: int = 18) -> str:
    """Text of some 18 tokens a sentence, after 20 that nobody else begins with."""
    return f"{uuid.uuid4().hex} {next(_numbers)}" + SENTENCE * sentences


def chat(sentences: int = 18, **more) -> dict:
    messages = [{"role": "user", "content": prompt(sentences)}]
    return {"model": "tiny", "messages": messages, "max_tokens": 24, "temperature": 0, **more}


def completion(sentences: int = 18, **more) -> dict:
    return {"model": "tiny", "prompt": prompt(sentences), "max_tokens": 24, "temperature": 0, **more}


def streamed(body: dict) -> dict:
    return {**body, "stream": True, "stream_options": {"include_usage": True}}


def text(answer: Answer, index: int = 0) -> str:
    """What a user reads of one choice, of a stream or of a whole answer that `assert_ok` passed."""
    pieces = answer.events or [answer.json]
    return "".join(_piece(choice) for one in pieces for choice in one["choices"] if choice["index"] == index)


def _piece(choice: dict) -> str:
    if "text" in choice:
        return choice["text"]
    return (choice.get("delta") or choice["message"]).get("content") or ""


def plan(answer: Answer) -> str:
    """What the router did and why, as its headers say."""
    return f"{answer.headers['x-qoe-plan']} ({answer.headers['x-qoe-reason']})"


def usage(answer: Answer) -> dict:
    """Token counts, without where they came from."""
    whole = answer.events[-1] if answer.events else answer.json
    return {key: whole["usage"][key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")}


def assert_alike(got, right, where: str = "") -> None:
    """Equal, but for numbers' last digits: log-probabilities depend on how requests were batched."""
    match got, right:
        case dict(), dict():
            assert got.keys() == right.keys(), f"{where}: {got.keys() ^ right.keys()}"
            for key in got:
                assert_alike(got[key], right[key], f"{where}.{key}")
        case list(), list():
            assert len(got) == len(right), f"{where}: {len(got)} for {len(right)}"
            for index, pair in enumerate(zip(got, right, strict=True)):
                assert_alike(*pair, f"{where}[{index}]")
        case float(), float():
            assert abs(got - right) < 0.01, f"{where}: {got} for {right}"
        case _:
            assert got == right, f"{where}: {got!r} for {right!r}"


def assert_ok(answer: Answer) -> Answer:
    assert answer.status == 200, f"{answer.status}: {answer.text[:600]}"
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.done, f"stream without [DONE]: …{answer.text[-300:]}"
        failed = [event for event in answer.events if "choices" not in event]
        assert not failed, f"an error under a 200: {answer.text[:1500]}"
    return answer


def assert_openai_error(answer: Answer, status: int, *words: str) -> None:
    """An error in OpenAI's shape whose message has these words."""
    assert answer.status == status, f"{answer.status}, not {status}: {answer.text[:300]}"
    message = json.loads(answer.text)["error"]["message"]
    for word in words:
        assert word in message, f"no {word!r} in {message!r}"
