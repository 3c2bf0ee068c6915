"""Certificates change, and no pod is restarted."""

import base64
import ssl

import cluster
from cases import World, case


@case
def new_certificates(world: World) -> str:
    """Of a new CA. That they work is proven by a controller which no router has reached with the old ones."""
    before = identities()
    old = certificate_in_secret()
    with world.load() as load:
        secrets = [f"secret/{name}-tls" for name in (cluster.CONTROLLER, cluster.ROUTER)]
        cluster.kubectl("delete", *secrets, "--namespace", cluster.NAMESPACE)
        cluster.upgrade()
        new = certificate_in_secret()
        assert new != old, "the upgrade made no new certificate"
        cluster.until("the controllers show it", 90, lambda: all(shown(pod) == new for pod in cluster.controllers()))
        assert identities() == before, "a pod was replaced or restarted"
        cluster.kubectl("delete", "pod", cluster.name(cluster.controllers()[0]), "--namespace", cluster.NAMESPACE)
        cluster.rolled_out(cluster.CONTROLLER)
        cluster.until("every router at every controller", 90, everyone_is_connected)
        # A change of the fleet comes through.
        world.fleet.scale(decoding=3)
        world.fleet.settled(decoding=3)
        cluster.until("the new pod takes part", 30, lambda: set(world.fleet.names("decoding")) <= set(load.pods))
        world.fleet.scale(decoding=2)
        world.fleet.settled(decoding=2)
    assert len(identities() & before) == len(before) - 1, "a router was replaced or restarted"
    return load.figures()


def identities() -> set[tuple[str, int]]:
    return {(cluster.name(pod), cluster.restarts(pod)) for pod in cluster.controllers() + cluster.routers()}


def certificate_in_secret() -> str:
    secret = cluster.get("secret", f"{cluster.CONTROLLER}-tls")
    return base64.b64decode(secret["data"]["tls.crt"]).decode().strip()


def shown(pod: dict) -> str:
    return ssl.get_server_certificate((pod["status"]["podIP"], 9443), timeout=5).strip()


def everyone_is_connected() -> bool:
    names = [cluster.name(pod) for pod in cluster.routers()]
    pages = [cluster.admin_page(pod, "/debug/routers")[1] for pod in cluster.controllers()]
    return len(pages) == 2 and all(name in page for name in names for page in pages)
