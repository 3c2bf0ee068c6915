"""What `Predictive` has learned of a server holds: its forecasts of TTFT and ITL are near what is measured.

Whatever else runs on the machine makes a server slower by turns, and no forecast knows of that beforehand. So the
servers that are not asked are held still, and up to six spells are measured; all are told, and one has to reach the
goal for TTFT and ITL alike.
"""

import random
import statistics
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import bodies
from bodies import CHAT
from cases import World, case
from http_client import post
from processes import START_DEADLINE_SECONDS, Router, Vllm, free_ports, held, until

# Median error, relative to what was measured.
GOAL = 0.2
TO_LEARN, COUNTED, SPELLS = 60, 80, 6
# Sentences of a prompt, tokens of an answer: prompts of 60 to 1,650 tokens.
PROMPT, ANSWER = (2, 90), (30, 150)
# What is measured below this is not told from nothing, as in the router's own metric.
LEAST_SECONDS = 1e-3


@case
def forecasts_hold(world: World) -> str:
    """Two clients that stream one chat after the other from one server: prompts of 60 to 1,650 tokens, answers of 30
    to 150, in any order, none ever seen before. The first 60 are not counted."""
    world.rest()
    with held(*world.servers), mixed_server(world) as server:
        return measure(world, [server], "mode: Never", clients=2)


@case
def forecasts_of_handoffs_hold(world: World) -> str:
    """The same chats from one client, each prompt read by one server and its KV fetched by another. *Why one*: with
    two, both engines, both their front ends and the router work at a time, and on two cores one of them has to wait."""
    world.rest()
    others = [*world.prefill[1:], *world.decoding[1:]]
    with held(*others):
        return measure(world, [world.prefill[0], world.decoding[0]], "mode: Always", clients=1)


@contextmanager
def mixed_server(world: World):
    """A server without a KV connector: NIXL's threads would take turns with the engine."""
    server = Vllm("m0", world.servers[0].folder, None, *free_ports(1))
    try:
        until("m0 healthy", START_DEADLINE_SECONDS, server.healthy)
        bodies.assert_ok(post(server.url + CHAT, bodies.chat()))
        yield server
    finally:
        server.kill()


def measure(world: World, servers: list[Vllm], handoff: str, clients: int) -> str:
    router = Router("router-forecasts", world.binary, servers, handoff, policy="Predictive")
    try:
        return spells(router, clients)
    finally:
        router.kill()


def spells(router: Router, clients: int) -> str:
    chance = random.Random(7)
    told = []
    stream(router, clients, TO_LEARN, chance)
    for _ in range(SPELLS):
        stream(router, clients, COUNTED, chance)
        errors = median_errors(router.last_requests(COUNTED))
        told.append(", ".join(f"{name} {error:.1%}" for name, error in errors.items()))
        if max(errors.values()) < GOAL:
            return f"median errors of {COUNTED} forecasts, spell after spell: {'; '.join(told)}"
    raise AssertionError(f"median errors, spell after spell: {'; '.join(told)}; the goal is {GOAL:.0%}")


def stream(router: Router, clients: int, count: int, chance: random.Random) -> None:
    chats = [
        bodies.streamed(bodies.chat(chance.randint(*PROMPT), max_tokens=chance.randint(*ANSWER), ignore_eos=True))
        for _ in range(count)
    ]
    with ThreadPoolExecutor(clients) as pool:
        for answer in pool.map(lambda body: post(router.url + CHAT, body), chats):
            bodies.assert_ok(answer)


def median_errors(requests: list[dict]) -> dict[str, float]:
    """Forecasts are made when a request's turn has come, so what it waited before is not part of its TTFT here."""
    ttft = [error(one["forecast_ttft"], one["ttft"] - one["queued"]) for one in requests]
    itl = [error(one["forecast_itl"], one["itl"]) for one in requests]
    return {"TTFT": statistics.median(ttft), "ITL": statistics.median(itl)}


def error(forecast: float, measured: float) -> float:
    return abs(forecast - measured) / max(measured, LEAST_SECONDS)
