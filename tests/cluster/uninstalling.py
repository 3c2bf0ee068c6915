"""`helm uninstall` leaves the definition of the kind, so that no route is lost, and nothing else."""

import cluster
from cases import World, case

# What every namespace has, and what tells of the past.
ALWAYS_THERE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
NOT_OBJECTS = {"events", "events.events.k8s.io"}
CLUSTER_WIDE = "clusterroles,clusterrolebindings,customresourcedefinitions,priorityclasses"
DEFINITION = "qoeroutes.qoe-router.io"


@case
def nothing_is_left(world: World) -> str:
    pods = [cluster.name(pod) for pod in cluster.pods(f"app.kubernetes.io/instance={cluster.RELEASE}")]
    cluster.helm("uninstall", cluster.RELEASE, "--wait", "--timeout", "2m")
    cluster.gone(pods)
    # The lease belongs to its last holder's pod; the garbage collector takes it a moment after that.
    cluster.until("nothing is left in the namespace", 60, lambda: not left_in_namespace())
    ours = f"app.kubernetes.io/instance={cluster.RELEASE}"
    left = cluster.kubectl("get", CLUSTER_WIDE, "-l", ours, "-o", "name").split()
    assert left == [f"customresourcedefinition.apiextensions.k8s.io/{DEFINITION}"], left
    cluster.get("qoeroute", world.fleet.route, world.fleet.namespace)
    cluster.kubectl("delete", "crd", DEFINITION, "--timeout=30s")
    return f"{len(pods)} pods gone; the definition and its routes stayed, and could be deleted"


def left_in_namespace() -> list[str]:
    kinds = cluster.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    wanted = ",".join(kind for kind in kinds if kind not in NOT_OBJECTS)
    found = cluster.kubectl("get", wanted, "--namespace", cluster.NAMESPACE, "-o", "name", "--ignore-not-found")
    return [one for one in found.split() if one not in ALWAYS_THERE]
