"""From `helm install` to the first token, and to a route of one's own."""

import subprocess
import time

import cluster
from cases import World, case, needed
from load import LONG_WORDS, SHORT_WORDS, Client, Failed


@needed
def the_first_token(_: World) -> str:
    cluster.namespace(cluster.NAMESPACE)
    command = ["helm", "install", cluster.RELEASE, str(cluster.CHART), "--namespace", cluster.NAMESPACE]
    started = time.monotonic()
    # Not awaited: a client does not know either when it may begin.
    install = subprocess.Popen([*command, "-f", str(cluster.VALUES)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    answer = cluster.until("a stream through the Service", 90, lambda: first_stream(install))
    first_token = time.monotonic() - started
    said, _ = install.communicate(timeout=60)
    assert install.returncode == 0, said.decode()
    assert b"kubectl" in said, f"the notes name no next command:\n{said.decode()}"
    for deployment in (cluster.ROUTER, cluster.CONTROLLER):
        cluster.rolled_out(deployment)
    return f"{first_token:.1f} s after `helm install` began, plan {answer.headers['x-qoe-plan']}"


def first_stream(install: subprocess.Popen):
    """The answer, once there is one; the model is whatever the router says it serves."""
    assert install.poll() in (None, 0), f"helm install failed:\n{install.stdout.read().decode()}"
    client = Client(cluster.ROUTER_URL)
    try:
        models = client.models()
        return models and client.stream(models[0], SHORT_WORDS, 8)
    except Failed:
        return None
    finally:
        client.close()


@needed
def a_route_of_ones_own(world: World) -> str:
    started = time.monotonic()
    world.fleet.start()
    world.fleet.settled(prefill=2, decoding=2)
    world.fleet.wait_for("condition=Ready")
    ready = time.monotonic() - started
    client = Client(cluster.ROUTER_URL)
    long = client.stream(world.fleet.model, LONG_WORDS, 50)
    assert long.handed_off, f"a long prompt was not handed off: {long.headers}"
    assert set(long.endpoints) <= set(world.fleet.names()), f"{long.endpoints} are not pods of the route"
    short = client.stream(world.fleet.model, SHORT_WORDS, 50)
    assert not short.handed_off, f"a short prompt was handed off: {short.headers}"
    with world.load() as load:
        cluster.until("every pod takes part", 30, lambda: set(world.fleet.names()) <= set(load.pods))
        load.goes_on()
    return f"ready after {ready:.1f} s; {load.figures()}"


@case
def nothing_is_allowed_to_the_router(_: World) -> str:
    """It speaks to strangers all day: no token, and no right that nobody else has."""
    for pod in cluster.routers():
        mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
        assert not any("serviceaccount" in path for path in mounts), mounts
    account = cluster.routers()[0]["spec"]["serviceAccountName"]
    more = rights(account) - rights("nobody-in-particular")
    assert not more, f"{account} may: {more}"
    return f"no token in the pods, and no right of the account {account} that not every account has"


def rights(account: str) -> set[str]:
    user = f"system:serviceaccount:{cluster.NAMESPACE}:{account}"
    return set(cluster.kubectl("auth", "can-i", "--list", "--namespace", cluster.NAMESPACE, "--as", user).splitlines())
