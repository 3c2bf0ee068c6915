"""Reading manifests, and the questions that all checks ask of them."""

from collections.abc import Iterator

import yaml


class StrictLoader(yaml.CSafeLoader):
    """Refuses what others silently drop: a key that is there twice."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} is there twice, {node.start_mark}")
        return super().construct_mapping(node, deep)


def read(text: str) -> list[dict]:
    return [document for document in yaml.load_all(text, StrictLoader) if document]


def kind(manifest: dict) -> str:
    return manifest["kind"]


def name(manifest: dict) -> str:
    return manifest["metadata"]["name"]


def title(manifest: dict) -> str:
    return f"{kind(manifest)} {name(manifest)}"


def labels(manifest: dict) -> dict:
    return manifest["metadata"].get("labels", {})


def of_kind(manifests: list[dict], *kinds: str) -> list[dict]:
    return [manifest for manifest in manifests if kind(manifest) in kinds]


def pod_template(deployment: dict) -> dict:
    return deployment["spec"]["template"]


def pod_spec(deployment: dict) -> dict:
    return pod_template(deployment)["spec"]


def containers(spec: dict) -> list[dict]:
    return spec.get("initContainers", []) + spec["containers"]


def arguments(deployment: dict) -> dict[str, str]:
    """The `--name=value` arguments of the only container."""
    [container] = pod_spec(deployment)["containers"]
    return dict(one.split("=", 1) for one in container["args"] if "=" in one)


def component(manifest: dict) -> str:
    return labels(manifest).get("app.kubernetes.io/component", "")


def walk(value, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value within a value, with its path."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}[{index}]")
