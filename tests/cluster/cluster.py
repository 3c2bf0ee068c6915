"""The cluster as its users see it: kubectl, helm, and waiting for what must become true."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHART = HERE.parent.parent / "charts" / "qoe-router"
VALUES = HERE / "values.yaml"
NODE = HERE.parent / "kubernetes" / "node.sh"
# Not the chart's own name: whatever takes that for granted shall break here.
RELEASE, NAMESPACE = "edge", "edge-system"
ROUTER, CONTROLLER = f"{RELEASE}-qoe-router", f"{RELEASE}-qoe-router-controller"
ROUTER_URL = f"http://{ROUTER}.{NAMESPACE}.svc.cluster.local"


def run(*command: str, given: str | None = None) -> str:
    """What the command printed; AssertionError, with its words, if it failed."""
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    said = f"{done.stdout}{done.stderr}".strip()
    assert done.returncode == 0, f"`{' '.join(command)}` failed:\n{said}"
    return done.stdout


def kubectl(*arguments: str, given: str | None = None) -> str:
    return run("kubectl", *arguments, given=given)


def refused(*arguments: str, given: str | None = None) -> str:
    """What kubectl complained of; AssertionError if it did not."""
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True)
    assert done.returncode != 0, f"not refused: kubectl {' '.join(arguments)}\n{done.stdout}"
    return done.stderr


def helm(*arguments: str) -> str:
    return run("helm", *arguments, "--namespace", NAMESPACE)


def upgrade(*values: str) -> None:
    """Upgrades the release with some more values, and waits until the new pods are ready."""
    helm("upgrade", RELEASE, str(CHART), "--reuse-values", *values, "--wait", "--timeout", "2m")


def get(kind: str, name: str, namespace: str = NAMESPACE) -> dict:
    return json.loads(kubectl("get", kind, name, "--namespace", namespace, "-o", "json"))


def namespace(name: str) -> None:
    """A namespace that lets in only pods of the restricted Pod Security standard."""
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")


def pods(selector: str, namespace: str = NAMESPACE) -> list[dict]:
    """Pods that are not about to end."""
    found = json.loads(kubectl("get", "pods", "--namespace", namespace, "-l", selector, "-o", "json"))["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def routers() -> list[dict]:
    return pods(f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=router")


def controllers() -> list[dict]:
    return pods(f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=controller")


def name(pod: dict) -> str:
    return pod["metadata"]["name"]


def is_ready(pod: dict) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(pod: dict) -> int:
    return sum(container["restartCount"] for container in pod["status"]["containerStatuses"])


def rolled_out(deployment: str, namespace: str = NAMESPACE) -> None:
    kubectl("rollout", "status", f"deployment/{deployment}", "--namespace", namespace, "--timeout=90s")


def scale(deployment: str, replicas: int, namespace: str = NAMESPACE) -> None:
    kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas}", "--namespace", namespace)


def gone(names: list[str], namespace: str = NAMESPACE) -> None:
    """Waits until these pods are no more."""
    kubectl("wait", "--for=delete", "--timeout=90s", "--namespace", namespace, *(f"pod/{one}" for one in names))


def signal_container(pod: dict, signal: str) -> None:
    """As the kernel would: past the API server and the kubelet."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    run(str(NODE), "ctr", "task", "kill", "--signal", signal, container)


def admin_page(pod: dict, path: str) -> tuple[int, str]:
    """Status and text of a page of the admin port; status 0 if nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{pod['status'].get('podIP')}:9090{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()
    except OSError as error:
        return 0, str(error)


def until(what: str, seconds: float, check):
    """Polls `check` until it returns something true, and returns that; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = check()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


def show_all() -> None:
    """For whoever has to find out what went wrong."""
    for command in (
        "kubectl get pods,services,qoeroutes --all-namespaces -o wide",
        "kubectl get qoeroutes --all-namespaces -o jsonpath={range.items[*]}{.metadata.name}{.status}{\"\\n\"}{end}",
        "kubectl get events --all-namespaces --field-selector=type=Warning --sort-by=.metadata.creationTimestamp",
        f"kubectl logs --namespace {NAMESPACE} -l app.kubernetes.io/component=controller --prefix --tail=40",
        f"kubectl logs --namespace {NAMESPACE} -l app.kubernetes.io/component=router --prefix --tail=40",
    ):
        done = subprocess.run(command.split(), capture_output=True, text=True)
        print(f"--- {command}")
        print("\n".join(f"{done.stdout}{done.stderr}".splitlines()[-60:]), flush=True)
