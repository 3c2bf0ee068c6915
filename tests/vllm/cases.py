"""Runs the tests: a case is a function that takes the `World`, asserts, and returns one line of figures."""

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from processes import Router, Vllm, until

CASES: list[Callable] = []


@dataclass
class World:
    """What the tests share. Cases run in the order they are written: the last ones break things."""

    # The router's program, for tests that start one of their own.
    binary: str
    prefill: list[Vllm]
    decoding: list[Vllm]
    pair: Router
    square: Router
    auto: Router
    # Takes turns, so that the choice of an endpoint does not depend on how fast a machine is.
    turns: Router
    tokens_moved: int = 0

    @property
    def servers(self) -> list[Vllm]:
        return self.prefill + self.decoding

    @property
    def plain(self) -> Vllm:
        """The server that says what is right. A prefill server, asked after the router: whatever it
        has cached it computed itself, so KV gone wrong on the way cannot make it wrong too."""
        return self.prefill[1]

    @property
    def routers(self) -> list[Router]:
        return [self.pair, self.square, self.auto, self.turns]

    def rest(self, seconds: float = 20) -> None:
        """Waits until no living server has anything running or waiting, and no router anything in flight."""
        for server in self.servers:
            if server.alive():
                until(f"{server.name} at rest", seconds, lambda one=server: one.busy() == 0)
        for router in self.routers:
            until(f"nothing in flight by the ledger of {router.name}", 5, router.holds_nothing)


def case(function: Callable) -> Callable:
    CASES.append(function)
    return function


def run_all(world: World, wanted: str) -> tuple[int, list[str]]:
    """Runs the cases whose name contains `wanted`, or in a file of that name; how many passed, and what failed why."""
    passed, failed = 0, []
    for function in CASES:
        name = function.__name__
        if wanted not in name and wanted != function.__module__:
            continue
        started = time.monotonic()
        try:
            figures = function(world)
            passed += 1
            print(f"ok      {name}: {figures} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception as error:
            failed.append(f"{name}: {error!r:.600}")
            print(f"FAILED  {name} ({time.monotonic() - started:.1f} s)", flush=True)
            traceback.print_exc()
            show_state(world)
    return passed, failed


def show_state(world: World) -> None:
    """All that tells why: what the routers know and did last, and everybody's log."""
    for router in world.routers:
        if router.alive():
            print(f"--- {router.name}: its endpoints, and its last requests, newest first")
            print(*map(json.dumps, router.endpoints() + router.last_requests(16)), sep="\n")
    for child in [*world.routers, *world.servers]:
        print(f"{child.tail()}\n--- {child.name} is {'alive' if child.alive() else 'dead'}", flush=True)
