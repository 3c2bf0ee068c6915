"""What lies in deploy/: fresh, and as good as the chart."""

import filecmp
import os
import subprocess
import tempfile
from pathlib import Path

import manifests
from helm import ROOT

DEPLOY = ROOT / "deploy"


def base_is_fresh() -> None:
    with tempfile.TemporaryDirectory() as folder:
        render(folder)
        same(DEPLOY / "kustomize" / "base", Path(folder))


def render(*arguments: str) -> None:
    command = [DEPLOY / "kustomize" / "render.sh", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def same(one: Path, other: Path) -> None:
    names = set(os.listdir(one)) | set(os.listdir(other))
    _, different, missing = filecmp.cmpfiles(one, other, names, shallow=False)
    stale = sorted(different + missing)
    assert not stale, f"stale: {', '.join(stale)}: run deploy/kustomize/render.sh"


def another_base_can_be_rendered() -> None:
    """In a namespace of one's own, with Secrets of one's own."""
    with tempfile.TemporaryDirectory() as folder:
        render(folder, "--namespace", "elsewhere", "--set", "tls.mode=existing")
        found = kustomized(Path(folder))
    assert not manifests.of_kind(found, "Certificate", "Issuer", "Secret")
    spaces = {one["metadata"].get("namespace", "elsewhere") for one in found}
    assert spaces == {"elsewhere"}, spaces
    [namespace] = manifests.of_kind(found, "Namespace")
    assert manifests.name(namespace) == "elsewhere"


def nothing_is_only_for_helm(base: list[dict]) -> None:
    for path, value in manifests.walk(base):
        assert "helm" not in path.lower() and "helm" not in str(value).lower() or isinstance(value, (dict, list)), path


def kustomized(folder: Path) -> list[dict]:
    result = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return manifests.read(result.stdout)


def files(folder: str) -> list[dict]:
    """All manifests of a folder."""
    found = []
    for file in sorted((DEPLOY / folder).glob("*.yaml")):
        found += manifests.read(file.read_text())
    assert found, f"nothing in deploy/{folder}"
    return found


def presets_fit_their_phases(presets: list[dict]) -> None:
    """Each phase has its connector, and its numbers are the right way round."""
    by_role = {}
    for deployment in manifests.of_kind(presets, "Deployment"):
        assert deployment["spec"]["selector"]["matchLabels"] == manifests.pod_template(deployment)["metadata"]["labels"]
        by_role[manifests.pod_template(deployment)["metadata"]["labels"]["llm-d.ai/role"]] = manifests.arguments(deployment)
        spec = manifests.pod_spec(deployment)
        [container] = spec["containers"]
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > sleep + int(manifests.arguments(deployment)["--shutdown-timeout"])
    prefill, decoding = by_role.pop("prefill"), by_role.pop("decode")
    assert not by_role, by_role
    assert '"kv_role":"kv_producer"' in prefill["--kv-transfer-config"]
    assert '"kv_role":"kv_consumer"' in decoding["--kv-transfer-config"]
    batched, sequences = "--max-num-batched-tokens", "--max-num-seqs"
    assert int(prefill[batched]) > int(decoding[batched]) >= int(decoding[sequences]) > int(prefill[sequences])
