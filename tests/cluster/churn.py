"""Pods of both phases come, go, and crash under load."""

import cluster
from cases import World, case
from load import Load


@case
def pods_come_and_go(world: World) -> str:
    fleet = world.fleet
    with world.load() as load:
        fleet.scale(prefill=3, decoding=4)
        fleet.settled(prefill=3, decoding=4)
        all_take_part(world, load)
        fleet.delete(fleet.names("prefill")[:1] + fleet.names("decoding")[:2])
        fleet.settled(prefill=3, decoding=4)
        all_take_part(world, load)
        fleet.scale(prefill=2, decoding=2)
        fleet.settled(prefill=2, decoding=2)
        fleet.restart()
        fleet.settled(prefill=2, decoding=2)
        all_take_part(world, load)
    return f"{load.figures()}, over {len(load.pods)} pods"


@case
def a_prefill_server_crashes(world: World) -> str:
    """Nobody has seen a token of it yet, so nobody notices."""
    with world.load() as load:
        crash_and_return(world, load, "prefill")
    return load.figures()


@case
def a_decoding_server_crashes(world: World) -> str:
    """Its streams end, and say so; no other request fails."""
    with world.load() as load:
        crash_and_return(world, load, "decoding")
    broken = [why for _, why in load.failures if why.startswith("broken off after ")]
    assert len(broken) == len(load.failures) <= load.clients, load.failures
    return f"{load.requests} requests, {len(broken)} streams of the crashed server ended with an error event"


def crash_and_return(world: World, load: Load, phase: str) -> None:
    world.fleet.settled(prefill=2, decoding=2)
    all_take_part(world, load)
    victim = world.fleet.pods(phase)[0]
    cluster.signal_container(victim, "SIGKILL")
    namespace = world.fleet.namespace

    def is_back() -> bool:
        pod = cluster.get("pod", cluster.name(victim), namespace)
        return cluster.restarts(pod) > cluster.restarts(victim) and cluster.is_ready(pod)

    cluster.until("the container is started again", 60, is_back)
    before = load.pods[cluster.name(victim)]
    cluster.until("it takes part again", 60, lambda: load.pods[cluster.name(victim)] > before + 3)


def all_take_part(world: World, load: Load) -> None:
    names = set(world.fleet.names())
    cluster.until("every pod takes part", 60, lambda: names <= set(load.pods))
