"""What an operator reads: columns, conditions, events, explanations, and refusals."""

import json

import cluster
from cases import World, case

CONDITIONS = {"Accepted", "ResolvedRefs", "Programmed", "Ready"}


@case
def columns_and_conditions(world: World) -> str:
    fleet = world.fleet
    fleet.settled(prefill=2, decoding=2)
    head, line = cluster.kubectl("get", "qoer", fleet.route, "--namespace", fleet.namespace).splitlines()
    assert head.split() == ["NAME", "MODEL", "PREFILL", "DECODING", "READY", "AGE"], head
    assert line.split()[:5] == ["llama", fleet.model, "2/2", "2/2", "True"], line
    route = cluster.get("qoeroute", fleet.route, fleet.namespace)
    conditions = {one["type"]: one for one in route["status"]["conditions"]}
    assert set(conditions) == CONDITIONS, conditions
    for one in conditions.values():
        assert one["status"] == "True" and one["reason"] and one["message"], one
        assert one["observedGeneration"] == route["metadata"]["generation"], one
    assert route["status"]["routers"] == {"connected": 2, "programmed": 2}, route["status"]
    return " ".join(line.split())


@case
def two_routes_of_one_model(world: World) -> str:
    """The older one keeps it; the other says why it serves nothing, in a condition and an event."""
    fleet = world.fleet
    fleet.apply((cluster.HERE / "route.yaml").read_text().replace("name: llama", "name: late"))
    refusal = cluster.until("the younger route is refused", 20, lambda: false_condition("late", fleet.namespace))
    assert f"{fleet.namespace}/{fleet.route}" in refusal["message"], refusal
    event = cluster.until("its event", 20, lambda: events("late", fleet.namespace))[0]
    assert event["reason"] and event["message"], event
    cluster.kubectl("delete", "qoeroute", "late", "--namespace", fleet.namespace)
    fleet.wait_for("condition=Ready")
    return f"{refusal['type']}=False, {refusal['reason']}: {refusal['message']}"


def false_condition(route: str, namespace: str) -> dict | None:
    conditions = cluster.get("qoeroute", route, namespace).get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == "Accepted" and one["status"] == "False"), None)


def events(route: str, namespace: str) -> list[dict]:
    selector = f"involvedObject.kind=QoERoute,involvedObject.name={route}"
    found = cluster.kubectl("get", "events", "--namespace", namespace, "--field-selector", selector, "-o", "json")
    return json.loads(found)["items"]


@case
def explanations(_: World) -> str:
    """`kubectl explain` has a word for every field."""
    said = cluster.kubectl("explain", "qoeroute.spec.endpoints")
    for field in ("selector", "port", "phase"):
        assert field in said, said
    definition = cluster.get("crd", "qoeroutes.qoe-router.io")
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields, silent = described(schema, "qoeroute")
    assert not silent, f"without a description: {silent}"
    return f"all {fields} fields of the kind are described"


def described(schema: dict, path: str) -> tuple[int, list[str]]:
    """How many fields there are, and which of them have no description."""
    fields, silent = 0, []
    for name, inner in schema.get("properties", {}).items():
        # The API server's own.
        if path == "qoeroute" and name in ("apiVersion", "kind", "metadata"):
            continue
        more, untold = described(inner.get("items", inner), f"{path}.{name}")
        fields += 1 + more
        silent += untold + ([] if inner.get("description") else [f"{path}.{name}"])
    return fields, silent


@case
def refusals(world: World) -> str:
    """What cannot work is refused when it is applied, with a sentence that says what to do."""
    empty = (cluster.HERE / "route.yaml").read_text().replace("{app: vllm-llama}", "{}")
    said = cluster.refused("apply", "--namespace", world.fleet.namespace, "-f", "-", given=empty)
    assert "matchLabels" in said, said
    return said.strip().splitlines()[-1].strip()
