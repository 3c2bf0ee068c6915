"""Clients that leave: the servers stop working for them, and no KV stays pinned past its lease."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bodies
from bodies import CHAT
from cases import World, case
from http_client import Stream
from processes import KV_LEASE_SECONDS, Vllm, held, until

CLIENTS = 6
LONG = 1500
# The lease, and what a busy machine may take to notice.
PINNED_AT_MOST_SECONDS = KV_LEASE_SECONDS + 10


@case
def leaves_while_streaming(world: World) -> str:
    written = generated(world)
    with ThreadPoolExecutor(CLIENTS) as pool:
        left = max(pool.map(read_a_little, [world] * CLIENTS))
    world.rest()
    took = time.monotonic() - left
    written = generated(world) - written
    assert written < CLIENTS * LONG / 2, f"{written:.0f} of {CLIENTS * LONG} tokens written: nobody was told"
    return f"servers at rest {took:.2f} s later, {written:.0f} of {CLIENTS * LONG} tokens written; {unpinned(world)}"


def read_a_little(world: World) -> float:
    """Three events of a long answer; when it left."""
    with ask(world, max_tokens=LONG, ignore_eos=True) as stream:
        for _ in range(3):
            assert stream.next_event(), "the stream ended early"
    return time.monotonic()


@case
def leaves_between_the_phases(world: World) -> str:
    """The decoding server is held still, so that prefill is over and decoding has not begun."""
    decoding = world.decoding[0]
    world.rest()
    with held(decoding):
        stream = ask(world, world.pair.url)
        until("the decoding leg has arrived", 20, lambda: unread_requests(decoding) > 0)
        stream.leave()
    world.rest()
    return unpinned(world)


@case
def leaves_during_prefill(world: World) -> str:
    """The prefill server is held still with the request on its doorstep."""
    prefill = world.prefill[0]
    world.rest()
    moved = world.decoding[0].transferred_tokens()
    with held(prefill):
        stream = ask(world, world.pair.url)
        until("the prefill leg has arrived", 20, lambda: unread_requests(prefill) > 0)
        stream.leave()
    world.rest()
    assert world.decoding[0].transferred_tokens() == moved, "the decoding leg went on for nobody"
    return unpinned(world)


@case
def leaves_at_any_moment(world: World) -> str:
    """A sweep over the first 200 ms: somewhere in it lies every moment between two steps."""
    expired = sum(server.metric("nixl_num_kv_expired_reqs_total") for server in world.prefill)
    for step in range(40):
        stream = ask(world, max_tokens=LONG, ignore_eos=True)
        time.sleep(step * 0.005)
        stream.leave()
    world.rest(30)
    said = unpinned(world)
    expired = sum(server.metric("nixl_num_kv_expired_reqs_total") for server in world.prefill) - expired
    return f"40 clients gone after 0 to 195 ms; {said}; {expired:.0f} leases had to run out"


def ask(world: World, url: str = "", **more) -> Stream:
    return Stream("POST", (url or world.square.url) + CHAT, bodies.streamed(bodies.chat(**more)))


def generated(world: World) -> float:
    return sum(server.metric("generation_tokens_total") for server in world.decoding)


def pinned(server: Vllm) -> float:
    """The share of KV blocks that belong to a request or to a lease."""
    return server.metric("kv_cache_usage_perc")


def unpinned(world: World) -> str:
    """No block belongs to anybody any more; and that clients left is held against no server."""
    for router in world.routers:
        blamed = [one for one in router.endpoints() if one["ejected"] or not one["kvTrusted"]]
        assert not blamed, (router.name, blamed)
    started = time.monotonic()
    for server in world.servers:
        until(f"no block of {server.name} pinned", PINNED_AT_MOST_SECONDS, lambda one=server: pinned(one) == 0)
    return f"nothing pinned after {time.monotonic() - started:.1f} s (lease {KV_LEASE_SECONDS} s)"


def unread_requests(server: Vllm) -> int:
    """Connections in which a prompt lies unread, as the kernel says: more bytes than a question for metrics."""
    port = int(server.url.rpartition(":")[2])
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        mine = int(local.partition(":")[2], 16) == port and state == "01"
        found += mine and int(queues.partition(":")[2], 16) > 1000
    return found
