"""Prefill servers die under load: every answer still comes, and is right. Runs last: nothing is put back."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import bodies
from bodies import CHAT
from cases import World, case
from hostile import ended_by
from http_client import Answer, post

AT_ONCE = 12


@case
def one_prefill_killed(world: World) -> str:
    """The other prefill server takes over."""
    requests = [bodies.streamed(bodies.chat(sentences=40)) for _ in range(AT_ONCE)]
    answers = ask_and_kill(world, requests, world.prefill[:1])
    for body, answer in zip(requests, answers):
        assert_right(answer, bodies.text(post(world.plain.url + CHAT, body)))
    later = bodies.chat()
    started = time.monotonic()
    answer = bodies.assert_ok(post(world.square.url + CHAT, later, x_qoe_explain="1"))
    took = time.monotonic() - started
    assert_right(answer, bodies.text(post(world.plain.url + CHAT, later)))
    return f"{plans(answers)}, all {AT_ONCE} right; then {plans([answer])} in {took:.2f} s"


@case
def every_prefill_killed(world: World) -> str:
    """The decoding servers compute the prompts themselves."""
    requests = [bodies.streamed(bodies.chat(sentences=40)) for _ in range(AT_ONCE)]
    later = [bodies.chat(), bodies.chat()]
    right = [bodies.text(post(world.plain.url + CHAT, body)) for body in requests + later]
    answers = ask_and_kill(world, requests, world.prefill[1:])
    for answer, wanted in zip(answers, right):
        assert_right(answer, wanted)
    for router, body, wanted in zip((world.pair, world.square), later, right[AT_ONCE:]):
        answer = bodies.assert_ok(post(router.url + CHAT, body, x_qoe_explain="1"))
        assert_right(answer, wanted)
        answers.append(answer)
    return f"{plans(answers[:AT_ONCE])}, all {AT_ONCE} right; then {plans(answers[AT_ONCE:])}"


@case
def the_deadly_body_is_deadly(world: World) -> str:
    """Sent to a server itself it must end it, or the tests that it is defused prove nothing."""
    ended_by(world.decoding[1])
    body = bodies.chat(sentences=1)
    bodies.assert_ok(post(world.pair.url + CHAT, body))
    return "d1 ended by one body sent past the router; d0 behind the router serves"


def ask_and_kill(world: World, requests: list[dict], victims) -> list[Answer]:
    """All at once; the victims die as soon as one of them has work."""
    with ThreadPoolExecutor(len(requests)) as pool:
        asked = [pool.submit(post, world.square.url + CHAT, body, x_qoe_explain="1") for body in requests]
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not any(one.busy() for one in victims):
            pass
        for victim in victims:
            victim.signal(signal.SIGKILL)
            victim.process.wait()
        return [one.result() for one in asked]


def assert_right(answer: Answer, wanted: str) -> None:
    bodies.assert_ok(answer)
    assert bodies.text(answer) == wanted, (bodies.text(answer), wanted)


def plans(answers: list[Answer]) -> str:
    """How often each plan was taken, as the headers say."""
    taken = [f"{one.headers['x-qoe-plan']} ({one.headers['x-qoe-reason']})" for one in answers]
    return ", ".join(f"{taken.count(plan)} {plan}" for plan in dict.fromkeys(taken))
