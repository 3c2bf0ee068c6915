"""Real vLLM behind the router: 2 prefill and 2 decoding servers, KV moved by NIXL. See run.sh.

Usage: run.py [WORD]     only the tests whose name contains WORD, or whose file is named so
"""

import os
import signal
import sys
import time

import bodies
from cases import World, run_all
from http_client import post
from processes import Router, Vllm, start_fleet

# The order of these is the order of the tests; the last one kills servers.
import text, shapes, surface, sdk, hostile, forecasts, leaving, faults  # noqa: E401, F401  isort: skip

ALWAYS = "mode: Always"
AUTO = "mode: Auto, minPromptTokens: 256"


def warm_up(servers: list[Vllm]) -> None:
    """The first request of a server is slow; it shall not be one that is timed."""
    for server in servers:
        bodies.assert_ok(post(server.url + bodies.CHAT, bodies.chat()))


def start(binary: str) -> World:
    started = time.monotonic()
    print("starting 2 prefill and 2 decoding vLLM servers, half a minute", flush=True)
    # This virtual environment is also where vLLM and the model lie.
    servers = start_fleet(sys.prefix, prefill=2, decoding=2)
    warm_up(servers)
    prefill, decoding = servers[:2], servers[2:]
    pair = Router("router-1p1d", binary, [prefill[0], decoding[0]], ALWAYS)
    square = Router("router-2p2d", binary, servers, ALWAYS)
    auto = Router("router-auto", binary, servers, AUTO)
    turns = Router("router-turns", binary, servers, ALWAYS, policy="RoundRobin")
    print(f"ready after {time.monotonic() - started:.0f} s", flush=True)
    return World(binary, prefill, decoding, pair, square, auto, turns)


def main() -> int:
    # An orderly exit, at which the servers are ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    world = start(os.environ["QOE_ROUTER_BIN"])
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    passed, failed = run_all(world, wanted)
    if world.tokens_moved:
        print(f"\n{world.tokens_moved} prompt tokens moved by NIXL and not computed a second time")
    # Once more at the end, as each is followed by hundreds of lines.
    print(*(f"FAILED  {one}" for one in failed), f"{passed} passed, {len(failed)} failed", sep="\n", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
