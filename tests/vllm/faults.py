"""Prefill servers die under load: every answer still comes, and is right. Runs last: nothing is put back."""

import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import bodies
from bodies import CHAT
from cases import World, case
from hostile import ended_by
from http_client import Answer, post
from leaving import unread_requests
from processes import Router, Vllm, held, until

AT_ONCE = 8


@case
def prefill_killed_at_work(world: World) -> str:
    """With every other request on its doorstep; the other prefill server takes over."""
    victim = world.prefill[0]
    requests = bodies_both_ways()
    with ThreadPoolExecutor(AT_ONCE) as pool, held(victim):
        asked = ask(world.turns, requests, pool)
        until("every other prefill leg has arrived", 20, lambda: unread_requests(victim) == AT_ONCE // 2)
        kill(victim)
        answers = [one.result() for one in asked]
    for body, answer in zip(requests, answers, strict=True):
        assert_right(answer, plain_text(world, body))
    started = time.monotonic()
    later = bodies.chat()
    answer = post(world.turns.url + CHAT, later, x_qoe_explain="1")
    took = time.monotonic() - started
    assert_right(answer, plain_text(world, later))
    return f"{plans(answers)}: all {AT_ONCE} right; then {plans([answer])} in {took:.2f} s"


@case
def prefill_killed_before_its_kv_is_fetched(world: World) -> str:
    """The decoding servers are told where KV lies, and nobody is there any more."""
    victim = world.prefill[1]
    requests = bodies_both_ways()
    wanted = [plain_text(world, body) for body in requests]
    with ThreadPoolExecutor(AT_ONCE) as pool, ExitStack() as stack:
        for server in world.decoding:
            stack.enter_context(held(server))
        asked = ask(world.turns, requests, pool)
        until("all decoding legs have arrived", 30, lambda: sum(map(unread_requests, world.decoding)) == AT_ONCE)
        kill(victim)
        stack.close()
        answers = [one.result() for one in asked]
    for answer, text in zip(answers, wanted, strict=True):
        assert_right(answer, text)
    return f"{plans(answers)}: all {AT_ONCE} right"


@case
def no_prefill_left(world: World) -> str:
    """The decoding servers compute the prompts themselves."""
    answers = []
    for router in (world.pair, world.square):
        for body in bodies_both_ways():
            answer = post(router.url + CHAT, body, x_qoe_explain="1")
            assert_right(answer, plain_text(world, body, world.decoding[1]))
            answers.append(answer)
    return f"{plans(answers)}: all {len(answers)} right"


@case
def the_deadly_body_is_deadly(world: World) -> str:
    """Sent to a server itself it must end it, or the tests that it is defused prove nothing."""
    ended_by(world.decoding[1])
    body = bodies.chat(sentences=1)
    bodies.assert_ok(post(world.pair.url + CHAT, body))
    return "d1 ended by one body sent past the router; d0 behind the router serves"


def bodies_both_ways() -> list[dict]:
    """Some 730 tokens each, half of them streamed."""
    fresh = [bodies.chat(sentences=40) for _ in range(AT_ONCE)]
    return [bodies.streamed(body) if index % 2 else body for index, body in enumerate(fresh)]


def plain_text(world: World, body: dict, server: Vllm | None = None) -> str:
    return bodies.text(bodies.assert_ok(post((server or world.plain).url + CHAT, body)))


def ask(router: Router, requests: list[dict], pool: ThreadPoolExecutor) -> list[Future[Answer]]:
    return [pool.submit(post, router.url + CHAT, body, x_qoe_explain="1") for body in requests]


def kill(server: Vllm) -> None:
    server.signal(signal.SIGKILL)
    server.process.wait()


def assert_right(answer: Answer, wanted: str) -> None:
    bodies.assert_ok(answer)
    assert bodies.text(answer) == wanted, (bodies.text(answer), wanted)


def plans(answers: list[Answer]) -> str:
    """How often each plan was taken, as the headers say."""
    taken = [bodies.plan(one) for one in answers]
    return ", ".join(f"{taken.count(plan)} {plan}" for plan in dict.fromkeys(taken))
