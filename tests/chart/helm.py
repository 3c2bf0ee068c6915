"""What Helm makes of the chart."""

import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

import manifests

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "qoe-router"


@dataclass(frozen=True)
class Release:
    name: str
    namespace: str


@dataclass
class Case:
    """A set of values, and what Helm is told of the cluster."""

    name: str
    values: dict
    api_versions: list[str] = field(default_factory=list)


@dataclass
class Rendering:
    """One release, rendered."""

    release: Release
    values: dict
    manifests: list[dict]

    def value(self, path: str):
        """A value as the templates saw it; for values that Helm takes whole or merges simply."""
        for values in (self.values, DEFAULTS):
            found = values
            for key in path.split("."):
                found = found.get(key) if isinstance(found, dict) else None
            if found is not None:
                return found
        return None


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


def run(*arguments: str, values: dict | None = None) -> subprocess.CompletedProcess:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        # JSON is YAML that leaves no doubt what is a string.
        json.dump(values or {}, file)
        file.flush()
        return subprocess.run(["helm", *arguments, "--values", file.name], capture_output=True, text=True)


def output(result: subprocess.CompletedProcess) -> str:
    assert result.returncode == 0, result.stderr.strip()
    return result.stdout


def version() -> str:
    return output(subprocess.run(["helm", "version", "--short"], capture_output=True, text=True))


def lint(values: dict) -> None:
    result = run("lint", "--strict", str(CHART), values=values)
    assert result.returncode == 0, result.stdout + result.stderr


def render(release: Release, case: Case) -> Rendering:
    options = [f"--api-versions={version}" for version in case.api_versions]
    result = run("template", release.name, str(CHART), "--namespace", release.namespace, *options, values=case.values)
    return Rendering(release, case.values, manifests.read(output(result)))


def refusal(values: dict) -> str:
    """Why Helm does not render these values."""
    result = run("template", "release", str(CHART), values=values)
    assert result.returncode != 0, "Helm renders it"
    return result.stderr


def notes(release: Release, values: dict) -> str:
    options = ["--namespace", release.namespace, "--dry-run=client"]
    return output(run("install", release.name, str(CHART), *options, values=values)).partition("NOTES:")[2]
