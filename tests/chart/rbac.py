"""The rights of the controller: exactly what it calls. The router has none."""

from helm import Rendering
from manifests import component, kind, name, of_kind, pod_spec, title

WATCHING = {
    ("", "pods"): {"list", "watch"},
    ("qoe-router.io", "qoeroutes"): {"list", "watch"},
    ("qoe-router.io", "qoeroutes/status"): {"patch"},
    ("events.k8s.io", "events"): {"create", "patch"},
}
LEADING = {("coordination.k8s.io", "leases"): {"get", "create", "update"}}


def rights_are_minimal(rendering: Rendering) -> None:
    rights = granted(rendering)
    own, watched = rendering.release.namespace, rendering.value("namespaces")
    # "" stands for all namespaces.
    expected = {namespace: dict(WATCHING) for namespace in watched or [""]}
    expected.setdefault(own, {}).update(LEADING)
    assert rights == (expected if rendering.value("rbac.create") else {}), rights
    if watched:
        assert not of_kind(rendering.manifests, "ClusterRole", "ClusterRoleBinding")


def granted(rendering: Rendering) -> dict[str, dict]:
    """The verbs on each resource, by namespace, of the controller's service account, to which all bindings must be."""
    [controller] = [one for one in of_kind(rendering.manifests, "Deployment") if component(one) == "controller"]
    subject = {
        "kind": "ServiceAccount",
        "name": pod_spec(controller)["serviceAccountName"],
        "namespace": rendering.release.namespace,
    }
    roles = {key(one, kind(one), name(one)): one for one in of_kind(rendering.manifests, "Role", "ClusterRole")}
    rights: dict[str, dict] = {}
    for binding in of_kind(rendering.manifests, "RoleBinding", "ClusterRoleBinding"):
        assert binding["subjects"] == [subject], title(binding)
        role = roles.pop(key(binding, binding["roleRef"]["kind"], binding["roleRef"]["name"]))
        for rule in role["rules"]:
            assert rule.keys() == {"apiGroups", "resources", "verbs"}, rule
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    verbs = rights.setdefault(namespace(binding), {}).setdefault((group, resource), set())
                    verbs |= set(rule["verbs"])
    assert not roles, f"bound to nobody: {list(roles)}"
    return rights


def namespace(manifest: dict) -> str:
    return manifest["metadata"].get("namespace", "")


def key(manifest: dict, role_kind: str, role_name: str) -> tuple[str, str, str]:
    return namespace(manifest), role_kind, role_name


def tokens_are_where_needed(rendering: Rendering) -> None:
    """Only the controller speaks to the API server."""
    for deployment in of_kind(rendering.manifests, "Deployment"):
        mounted = pod_spec(deployment)["automountServiceAccountToken"]
        assert mounted == (component(deployment) == "controller"), title(deployment)
    for account in of_kind(rendering.manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False, title(account)
