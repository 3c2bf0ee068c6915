"""`helm upgrade` while it serves."""

import cluster
from cases import World, case


@case
def an_upgrade(world: World) -> str:
    """A value that is part of both pod templates replaces all controllers and routers, one after the other."""
    old = [cluster.name(pod) for pod in cluster.controllers() + cluster.routers()]
    with world.load() as load:
        changed = [f"{component}.podAnnotations.upgraded=yes" for component in ("controller", "router")]
        cluster.upgrade(*(word for one in changed for word in ("--set-string", one)))
        cluster.gone(old)
        load.goes_on()
    return f"{load.figures()}, {len(old)} pods replaced"
