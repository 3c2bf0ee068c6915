"""That the objects of one release fit together: names, labels, and what they say of each other."""

import re
from collections import Counter

from helm import Rendering
from manifests import arguments, component, containers, kind, labels, name, of_kind, pod_spec, pod_template, title, walk

CLUSTER_SCOPED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
COMMON_LABELS = {
    *(f"app.kubernetes.io/{part}" for part in ("name", "instance", "version", "component", "part-of", "managed-by")),
    "helm.sh/chart",
}
# Of these labels a selector is made, and of no others: a selector can never change.
SELECTED_BY = {f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")} | {"llm-d.ai/role"}


def names_are_valid(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        # The names of RBAC are free, but for `/`; a Service's is a label of DNS; all others are names of DNS.
        rbac = kind(manifest).endswith(("Role", "RoleBinding"))
        pattern = DNS_LABEL if kind(manifest) == "Service" else DNS_NAME
        assert len(name(manifest)) <= 63, title(manifest)
        assert rbac or pattern.fullmatch(name(manifest)), title(manifest)
    for deployment in of_kind(rendering.manifests, "Deployment"):
        for container in containers(pod_spec(deployment)):
            for port in container["ports"]:
                assert len(port["name"]) <= 15 and DNS_LABEL.fullmatch(port["name"]), port


def names_are_unique(rendering: Rendering) -> None:
    # A hook may come back as another hook: Helm runs them at different times.
    count = Counter(
        (kind(one), one["metadata"].get("namespace"), name(one), one["metadata"].get("annotations", {}).get("helm.sh/hook"))
        for one in rendering.manifests
    )
    assert max(count.values()) == 1, count.most_common(3)


def namespaces_are_right(rendering: Rendering) -> None:
    """Everything is in the release's namespace, but for the roles in the namespaces that are watched."""
    watched = set(rendering.value("namespaces"))
    for manifest in rendering.manifests:
        namespace = manifest["metadata"].get("namespace")
        if kind(manifest) in CLUSTER_SCOPED:
            assert namespace is None, title(manifest)
        elif namespace != rendering.release.namespace:
            assert kind(manifest) in ("Role", "RoleBinding") and namespace in watched, title(manifest)


def labels_are_right(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        missing = COMMON_LABELS - labels(manifest).keys()
        assert not missing, f"{title(manifest)} has no {missing}"
        assert labels(manifest)["app.kubernetes.io/instance"] == rendering.release.name
    for path, value in walk(without_definitions(rendering.manifests)):
        if path.endswith((".labels", ".matchLabels")):
            assert all(len(one) <= 63 and LABEL_VALUE.fullmatch(one) for one in value.values()), f"{path}: {value}"
    for deployment in of_kind(rendering.manifests, "Deployment"):
        # Else each new version of the chart would restart all pods.
        assert "helm.sh/chart" not in pod_template(deployment)["metadata"]["labels"], title(deployment)


def selectors_match(rendering: Rendering) -> None:
    deployments = of_kind(rendering.manifests, "Deployment")
    for deployment in deployments:
        selected = deployments_selected(deployments, deployment["spec"]["selector"])
        assert selected == [name(deployment)], f"{title(deployment)} selects the pods of {selected}"
        for constraint in pod_spec(deployment).get("topologySpreadConstraints", []):
            if constraint["labelSelector"]:
                assert deployments_selected(deployments, constraint["labelSelector"]) == [name(deployment)], constraint
    for manifest in of_kind(rendering.manifests, "Service"):
        selected = deployments_selected(deployments, {"matchLabels": manifest["spec"]["selector"]})
        assert selected == expected(deployments, component(manifest)), f"{title(manifest)} selects the pods of {selected}"
    for manifest in of_kind(rendering.manifests, "PodDisruptionBudget", "NetworkPolicy"):
        selector = manifest["spec"].get("selector") or manifest["spec"]["podSelector"]
        selected = deployments_selected(deployments, selector)
        assert selected == expected(deployments, component(manifest)), f"{title(manifest)} selects the pods of {selected}"
    for manifest in of_kind(rendering.manifests, "QoERoute"):
        selected = deployments_selected(deployments, manifest["spec"]["endpoints"]["selector"])
        assert selected == expected(deployments, "demo"), f"{title(manifest)} selects the pods of {selected}"
    for path, value in walk(without_definitions(rendering.manifests)):
        if path.endswith(".matchLabels") and not re.search("(pod|namespace)Selector", path):
            assert value.keys() <= SELECTED_BY, f"{path}: {value}"


def without_definitions(manifests: list[dict]) -> list[dict]:
    """A definition's schema tells of labels, and is none."""
    return [manifest for manifest in manifests if kind(manifest) != "CustomResourceDefinition"]


def expected(deployments: list[dict], of_component: str) -> list[str]:
    return [name(deployment) for deployment in deployments if component(deployment) == of_component]


def deployments_selected(deployments: list[dict], selector: dict) -> list[str]:
    assert selector.keys() == {"matchLabels"} and selector["matchLabels"], selector
    wanted = selector["matchLabels"].items()
    return [name(one) for one in deployments if wanted <= pod_template(one)["metadata"]["labels"].items()]


def ports_are_there(rendering: Rendering) -> None:
    """Ports that are named by Services, probes, policies and routes are ports of the pods they mean."""
    ports = {}
    for deployment in of_kind(rendering.manifests, "Deployment"):
        own = ports.setdefault(component(deployment), set())
        for container in containers(pod_spec(deployment)):
            own |= {port["name"] for port in container["ports"]}
            for probe in ("livenessProbe", "readinessProbe"):
                assert container[probe]["httpGet"]["port"] in own, f"{title(deployment)}: {probe}"
    for service in of_kind(rendering.manifests, "Service"):
        targets = {port["targetPort"] for port in service["spec"]["ports"]}
        assert targets <= ports[component(service)], f"{title(service)}: {targets}"
    for policy in of_kind(rendering.manifests, "NetworkPolicy"):
        ingress = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert ingress == ports[component(policy)], f"{title(policy)}: {ingress}"
    for route in of_kind(rendering.manifests, "QoERoute"):
        assert route["spec"]["endpoints"]["port"] in ports["demo"], title(route)


def references_are_there(rendering: Rendering) -> None:
    """What an object names is made too, or is the user's."""
    made = {(kind(one), name(one)) for one in rendering.manifests}
    made |= {("Secret", one["spec"]["secretName"]) for one in of_kind(rendering.manifests, "Certificate")}
    made |= {("Secret", one) for one in rendering.value("tls.existing").values()}
    made |= {("ServiceAccount", "default"), ("ClusterIssuer", "corporate")}
    for deployment in of_kind(rendering.manifests, "Deployment"):
        spec = pod_spec(deployment)
        assert ("ServiceAccount", spec.get("serviceAccountName", "default")) in made, title(deployment)
        volumes = spec.get("volumes", [])
        for volume in volumes:
            assert "emptyDir" in volume or ("Secret", volume["secret"]["secretName"]) in made, volume
        for container in containers(spec):
            mounted = [mount["name"] for mount in container.get("volumeMounts", [])]
            assert mounted == [volume["name"] for volume in volumes], f"{title(deployment)}: {mounted}"
    for manifest in rendering.manifests:
        for reference in ("roleRef", "scaleTargetRef", "issuerRef"):
            target = manifest.get(reference) or manifest.get("spec", {}).get(reference)
            assert target is None or (target["kind"], target["name"]) in made, f"{title(manifest)}: {target}"


def nothing_is_empty(rendering: Rendering) -> None:
    """What a template leaves behind when a value is not what it thought."""
    for manifest in rendering.manifests:
        if kind(manifest) == "CustomResourceDefinition":
            continue
        for path, value in walk(manifest):
            fine = path.endswith((".selfSigned", ".emptyDir", ".namespaceSelector", ".labelSelector"))
            assert fine or value not in (None, "", {}, []) or path.endswith("apiGroups[0]"), f"{title(manifest)}: {path}"
            assert "<no value>" not in str(value) and "%!" not in str(value), f"{title(manifest)}: {path}: {value}"


def releases_do_not_meet(one: Rendering, other: Rendering) -> None:
    """Objects outside the namespace of two releases of the same name have different names; but for the definition."""
    outside = [
        {
            (kind(manifest), manifest["metadata"].get("namespace"), name(manifest))
            for manifest in rendering.manifests
            if manifest["metadata"].get("namespace") != rendering.release.namespace
            and kind(manifest) != "CustomResourceDefinition"
        }
        for rendering in (one, other)
    ]
    assert outside[0] and not outside[0] & outside[1], outside[0] & outside[1]
