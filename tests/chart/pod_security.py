"""The Pod Security Standard *restricted*, and what we ask beyond it."""

import copy

from manifests import containers

ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"
}  # fmt: skip


def violations(spec: dict) -> list[str]:
    """What a pod does that *restricted* forbids."""
    found = []
    pod = spec.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            found.append(key)
    for volume in spec.get("volumes", []):
        found += [f"volume {kind}" for kind in volume.keys() - {"name"} - ALLOWED_VOLUMES]
    for key in ("sysctls", "seLinuxOptions", "windowsOptions"):
        if pod.get(key):
            found.append(key)
    for container in containers(spec):
        found += [f"{container['name']}: {problem}" for problem in container_violations(container, pod)]
    return found


def container_violations(container: dict, pod: dict) -> list[str]:
    own = container.get("securityContext", {})
    effective = {**pod, **own}
    capabilities = own.get("capabilities", {})
    checks = {
        "privileged": not own.get("privileged"),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "runAsNonRoot": effective.get("runAsNonRoot") is True,
        "runAsUser": effective.get("runAsUser") != 0,
        "seccompProfile": effective.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
        "capabilities.drop": "ALL" in capabilities.get("drop", []),
        "capabilities.add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
        "procMount": own.get("procMount", "Default") == "Default",
        "seLinuxOptions": not own.get("seLinuxOptions"),
        "windowsOptions": not own.get("windowsOptions"),
        "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
    }
    return [name for name, good in checks.items() if not good]


def beyond(spec: dict) -> list[str]:
    """What we ask of our own pods beyond the standard."""
    found = []
    for container in containers(spec):
        checks = {
            "readOnlyRootFilesystem": container["securityContext"].get("readOnlyRootFilesystem") is True,
            "memory requested and limited": {"memory"}
            <= container["resources"]["requests"].keys() & container["resources"]["limits"].keys(),
            "a pinned image": ":" in container["image"].rpartition("/")[2] and not container["image"].endswith(":latest"),
            "a liveness probe": "livenessProbe" in container,
        }
        found += [f"{container['name']}: not {name}" for name, good in checks.items() if not good]
    return found


GOOD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {"name": "c", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    ],
}

BAD = [
    lambda pod, _: pod.update(hostNetwork=True),
    lambda pod, _: pod.update(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
    lambda pod, _: pod["securityContext"].pop("runAsNonRoot"),
    lambda pod, _: pod["securityContext"].pop("seccompProfile"),
    lambda pod, _: pod["securityContext"].update(runAsUser=0),
    lambda pod, _: pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    lambda pod, _: pod.update(initContainers=[{"name": "i"}]),
    lambda _, own: own.update(privileged=True),
    lambda _, own: own.update(runAsNonRoot=False),
    lambda _, own: own.update(procMount="Unmasked"),
    lambda _, own: own.pop("allowPrivilegeEscalation"),
    lambda _, own: own.pop("capabilities"),
    lambda _, own: own["capabilities"].update(add=["SYS_ADMIN"]),
    lambda pod, _: pod["containers"][0].update(ports=[{"containerPort": 1, "hostPort": 1}]),
]


def the_check_sees_violations() -> None:
    assert not violations(GOOD)
    for index, spoil in enumerate(BAD):
        pod = copy.deepcopy(GOOD)
        spoil(pod, pod["containers"][0]["securityContext"])
        assert violations(pod), f"violation {index} is not seen"
