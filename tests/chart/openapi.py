"""Manifests against the API schemas of Kubernetes, of our own definition, and of other projects; unknown fields refused."""

import json
from pathlib import Path

import jsonschema
import yaml

Kind = tuple[str, str]


def strict(schema: dict) -> None:
    """Closes every object whose fields are known, in place: the API server would drop what is misspelt."""
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    inner = list(schema.get("properties", {}).values())
    if inner and not open_ended:
        schema["additionalProperties"] = False
    if schema.pop("x-kubernetes-int-or-string", False):
        schema["type"] = ["integer", "string"]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for key in ("allOf", "anyOf", "oneOf"):
        inner += schema.get(key, [])
    for one in inner:
        strict(one)


class Schemas:
    """All kinds that one version of Kubernetes, or one file of definitions, knows."""

    def __init__(self) -> None:
        self.validators: dict[Kind, jsonschema.Draft202012Validator] = {}
        self.seen: set[str] = set()

    def add(self, kind: Kind, schema: dict) -> None:
        self.validators[kind] = jsonschema.Draft202012Validator(schema)

    def check(self, manifest: dict) -> None:
        """That the manifest is good; what was seen before is not looked at again."""
        text = json.dumps(manifest, sort_keys=True)
        if text in self.seen:
            return
        kind = manifest["apiVersion"], manifest["kind"]
        assert kind in self.validators, f"{kind} is unknown"
        problems = [f"{error.json_path}: {error.message}" for error in self.validators[kind].iter_errors(manifest)]
        assert not problems, f"{manifest['kind']} {manifest['metadata']['name']}: {'; '.join(problems)}"
        self.seen.add(text)


def of_kubernetes(folder: Path) -> Schemas:
    schemas = Schemas()
    for file in sorted(folder.glob("*.json")):
        components = json.loads(file.read_text())["components"]
        for name, schema in components["schemas"].items():
            strict(schema)
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                api_version = f"{kind['group']}/{kind['version']}" if kind["group"] else kind["version"]
                entry = {"$ref": f"#/components/schemas/{name}", "components": components}
                schemas.add((api_version, kind["kind"]), entry)
    assert schemas.validators, f"no schemas in {folder}"
    return schemas


def of_definition(file: Path) -> Schemas:
    """The kind that a CustomResourceDefinition defines."""
    definition = yaml.safe_load(file.read_text())["spec"]
    schemas = Schemas()
    for version in definition["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        # Every object has these; a definition need not say so.
        schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
        strict(schema)
        schemas.add((f"{definition['group']}/{version['name']}", definition["names"]["kind"]), schema)
    return schemas


def of_others(file: Path) -> Schemas:
    """What we use of the kinds of other projects."""
    schemas = Schemas()
    for entry in yaml.safe_load(file.read_text()):
        common = {"apiVersion": {"const": entry["apiVersion"]}, "kind": {"const": entry["kind"]}, "metadata": {"type": "object"}}
        schema = {"type": "object", "properties": common | {"spec": entry["spec"]}, "required": ["metadata", "spec"]}
        strict(schema)
        schemas.add((entry["apiVersion"], entry["kind"]), schema)
    return schemas


def the_check_is_strict(kubernetes: Schemas) -> None:
    """A misspelt field, a wrong type and a missing field are seen, at any depth."""
    port = {"port": 80, "name": "http", "targetPort": "http"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [port]}}
    kubernetes.check(service)
    for spoilt in ({**port, "targetport": 1}, {**port, "port": "80"}, {"name": "http"}):
        try:
            kubernetes.check({**service, "spec": {"ports": [spoilt]}})
        except AssertionError:
            continue
        raise AssertionError(f"not seen: {spoilt}")
