"""No controller is there, for a while. The routers go on with what they have."""

import time

import cluster
from cases import World, case
from load import SHORT_WORDS, Client


def controllers_leave() -> None:
    names = [cluster.name(pod) for pod in cluster.controllers()]
    cluster.scale(cluster.CONTROLLER, 0)
    cluster.gone(names)


def controllers_return() -> None:
    cluster.scale(cluster.CONTROLLER, 2)
    cluster.rolled_out(cluster.CONTROLLER)


@case
def no_controller_under_load(world: World) -> str:
    """Servers come and go meanwhile, and a router is added; all is set right when the controllers return."""
    fleet = world.fleet
    with world.load() as load:
        controllers_leave()
        left = time.monotonic()
        fleet.delete(fleet.names("prefill")[:1])
        fleet.scale(decoding=3)
        cluster.rolled_out("llama-decoding", fleet.namespace)
        known = {cluster.name(pod) for pod in cluster.routers()}
        cluster.scale(cluster.ROUTER, 3)
        page = cluster.until("the new router says what it waits for", 30, lambda: unready_page(known))
        load.goes_on()
        away = time.monotonic() - left
        controllers_return()
        returned = time.monotonic()
        fleet.settled(prefill=2, decoding=3)
        fleet.wait_for("jsonpath={.status.routers.programmed}=3")
        settled = time.monotonic() - returned
        cluster.rolled_out(cluster.ROUTER)
        cluster.until("new servers take part", 30, lambda: set(fleet.names()) <= set(load.pods))
        surplus = {cluster.name(pod) for pod in cluster.routers()}
        cluster.scale(cluster.ROUTER, 2)
        fleet.scale(decoding=2)
        cluster.gone(list(surplus - {cluster.name(pod) for pod in cluster.routers()}))
        fleet.settled(prefill=2, decoding=2)
    return (
        f"{load.figures()}; {away:.0f} s without a controller, status right {settled:.1f} s after their return; "
        f"the new router waited ({page})"
    )


def unready_page(known: set[str]) -> str | None:
    """What the router that is not among the known ones answers on /ready, once it answers."""
    for pod in cluster.routers():
        if cluster.name(pod) not in known:
            status, page = cluster.admin_page(pod, "/ready")
            assert status != 200, f"{cluster.name(pod)} has no endpoints and calls itself ready: {page}"
            return page.strip() if status else None
    return None


@case
def routers_start_again_without_a_controller(world: World) -> str:
    """From the snapshot on their disks."""
    routers = cluster.routers()
    controllers_leave()
    for pod in routers:
        cluster.signal_container(pod, "SIGKILL")
    started = time.monotonic()
    cluster.until("all routers serve again", 60, lambda: all_are_back(routers))
    answer = Client(cluster.ROUTER_URL).stream(world.fleet.model, SHORT_WORDS, 20)
    seconds = time.monotonic() - started
    controllers_return()
    world.fleet.wait_for("jsonpath={.status.routers.programmed}=2")
    return f"a stream {seconds:.1f} s after all were killed, plan {answer.headers['x-qoe-plan']}"


def all_are_back(routers: list[dict]) -> bool:
    now = {cluster.name(pod): pod for pod in cluster.routers()}
    return all(
        cluster.restarts(now[cluster.name(pod)]) > cluster.restarts(pod) and cluster.is_ready(now[cluster.name(pod)])
        for pod in routers
    )
