"""That values, schema and samples say the same, and that each of them says all."""

import json
import re
from pathlib import Path

import yaml

from helm import CHART, DEFAULTS, ROOT
from manifests import walk

# Objects whose inside belongs to Kubernetes, or to the user.
OPAQUE = {"podSecurityContext", "containerSecurityContext"}


def every_value_is_documented() -> None:
    """A comment stands above each name; what stands on one line with others is one value."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    # The inside of `resources` is Kubernetes' own.
    named = re.compile(r" *(?!requests|limits)[A-Za-z]+:")
    bare = [line for above, line in zip([""] + lines, lines) if named.match(line) and not above.lstrip().startswith("#")]
    assert not bare, f"no comment above: {bare}"


def schema_and_values_have_the_same_names() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    definitions = schema["definitions"]

    def compare(node: dict, values, path: str) -> None:
        node = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if path.endswith(".resources") or path.endswith(".issuerRef") or "properties" not in node:
            return
        assert node["additionalProperties"] is False, f"{path} takes anything"
        assert node["properties"].keys() == values.keys(), f"{path}: {node['properties'].keys() ^ values.keys()}"
        for key, inner in node["properties"].items():
            compare(inner, values[key], f"{path}.{key}")

    compare(schema, DEFAULTS, "values")


def the_definition_is_the_generated_one() -> None:
    generated, copy = ROOT / "crds" / "qoeroutes.yaml", CHART / "files" / "qoeroutes.yaml"
    assert generated.exists(), "crds/qoeroutes.yaml is missing: make crds"
    assert generated.read_text() == copy.read_text(), "the chart's copy is stale: make crds"


def the_full_sample_has_every_field(sample: Path) -> None:
    definition = yaml.safe_load((CHART / "files" / "qoeroutes.yaml").read_text())
    [version] = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    text = sample.read_text()
    used = {re.sub(r"\[\d+\]", "", path) for path, _ in walk(yaml.safe_load(text)["spec"])}
    missing = set(fields(schema)) - used
    # Weights exclude the rules of the policy that is shown: they are told in a comment.
    commented = " ".join(line for line in text.splitlines() if line.lstrip().startswith("#"))
    missing -= {path for path in missing if path.startswith(".policy.weights") and f"{path.rpartition('.')[2]}:" in commented}
    assert not missing, f"{sample.name} lacks {sorted(missing)}"


def fields(schema: dict, path: str = ""):
    for key, inner in schema.get("properties", {}).items():
        yield f"{path}.{key}"
        yield from fields(inner, f"{path}.{key}")
