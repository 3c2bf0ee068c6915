"""Renders the chart in many ways, and checks everything that can be checked without a cluster. See run.sh.

Usage: run.py FOLDER…     the folders of API schemas, one of each version of Kubernetes, named so
"""

import os
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import behaviour
import cases
import deploy
import documentation
import helm
import objects
import openapi
import pod_security
import rbac
from helm import Case, Rendering
from manifests import of_kind, pod_spec, title

# Each is a question to one release, rendered.
OF_A_RELEASE = [
    objects.names_are_valid,
    objects.names_are_unique,
    objects.namespaces_are_right,
    objects.labels_are_right,
    objects.selectors_match,
    objects.ports_are_there,
    objects.references_are_there,
    objects.nothing_is_empty,
    behaviour.rollouts_fail_no_request,
    behaviour.replicas_have_one_owner,
    behaviour.routers_find_controllers,
    behaviour.metrics_are_found_once,
    behaviour.clients_cannot_read_metrics,
    behaviour.only_routers_reach_controllers,
    behaviour.the_definition_is_as_asked,
    behaviour.the_demo_is_whole,
    rbac.rights_are_minimal,
    rbac.tokens_are_where_needed,
]


class Results:
    """Prints one line a check."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0

    def check(self, title: str, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:
            self.failed += 1
            print(f"FAILED  {title}: {error}")
            if not isinstance(error, AssertionError):
                traceback.print_exc(limit=-1, file=sys.stdout)
        else:
            self.passed += 1
            print(f"ok      {title}")
        sys.stdout.flush()

    def skip(self, title: str, reason: str) -> None:
        self.skipped += 1
        print(f"skipped {title}: {reason}")

    def summary(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


class Validators:
    """The schemas of all versions of Kubernetes, and of the kinds beside them."""

    def __init__(self, folders: list[Path]) -> None:
        self.kubernetes = {folder.name.rpartition("-")[2]: openapi.of_kubernetes(folder) for folder in folders}
        self.others = [
            openapi.of_definition(helm.CHART / "files" / "qoeroutes.yaml"),
            openapi.of_others(Path(__file__).with_name("other-kinds.yaml")),
        ]

    def check(self, manifests: list[dict]) -> None:
        for manifest in manifests:
            kind = manifest["apiVersion"], manifest["kind"]
            for schemas in [one for one in self.others if kind in one.validators] or self.kubernetes.values():
                schemas.check(manifest)


def check_case(results: Results, validators: Validators, case: Case, renderings: list[Rendering]) -> None:
    def of_all(question: Callable[[Rendering], None]) -> Callable[[], None]:
        return lambda: [question(rendering) for rendering in renderings]

    for question in OF_A_RELEASE:
        results.check(f"{case.name}: {sentence(question)}", of_all(question))
    results.check(f"{case.name}: Pod Security restricted", of_all(lambda one: are_restricted(one.manifests)))
    results.check(f"{case.name}: valid for all versions of Kubernetes", of_all(lambda one: validators.check(one.manifests)))
    # The same release in another namespace: what a second team would install.
    second = helm.render(helm.Release(cases.RELEASES[0].name, "another"), case)
    if case.values.get("rbac", {}).get("create", True):
        results.check(
            f"{case.name}: two releases do not meet", lambda: objects.releases_do_not_meet(renderings[0], second)
        )
    results.check(f"{case.name}: helm lint --strict", lambda: helm.lint(case.values))


def are_restricted(manifests: list[dict]) -> None:
    for deployment in of_kind(manifests, "Deployment"):
        found = pod_security.violations(pod_spec(deployment)) + pod_security.beyond(pod_spec(deployment))
        assert not found, f"{title(deployment)}: {', '.join(found)}"


def notes_name_the_next_command(case: Case, words: list[str]) -> None:
    release = cases.RELEASES[0]
    said = helm.notes(release, case.values)
    for word in [f"--namespace {release.namespace} ", "qoer", "curl --no-buffer", "/v1/chat/completions", *words]:
        assert word in said, f"{word!r} is not in the notes:\n{said}"


def sentence(function: Callable) -> str:
    return function.__name__.replace("_", " ")


def check_deploy(results: Results, validators: Validators) -> None:
    results.check("deploy/kustomize: the base is fresh", deploy.base_is_fresh)
    results.check("deploy/kustomize: another base can be rendered", deploy.another_base_can_be_rendered)
    base = deploy.kustomized(deploy.DEPLOY / "kustomize" / "base")
    results.check("deploy/kustomize: nothing is only for Helm", lambda: deploy.nothing_is_only_for_helm(base))
    results.check("deploy/kustomize: Pod Security restricted", lambda: are_restricted(base))
    presets = deploy.kustomized(deploy.DEPLOY / "presets")
    results.check("deploy/presets: each fits its phase", lambda: deploy.presets_fit_their_phases(presets))
    sidecar, samples = deploy.files("sidecar"), deploy.files("samples")
    router = {"spec": {"template": {"spec": {**pod_spec(sidecar[0]), "containers": []}}}}
    results.check(
        "deploy/sidecar: Pod Security restricted",
        lambda: are_restricted([{**sidecar[0], **router}]),
    )
    full = deploy.DEPLOY / "samples" / "route-full.yaml"
    results.check(
        "deploy/samples: the full one has every field", lambda: documentation.the_full_sample_has_every_field(full)
    )
    for folder, found in {"kustomize": base, "presets": presets, "sidecar": sidecar, "samples": samples}.items():
        results.check(f"deploy/{folder}: valid for all versions of Kubernetes", lambda found=found: validators.check(found))


def main() -> int:
    results, validators = Results(), Validators([Path(folder) for folder in sys.argv[1:]])
    for version, schemas in validators.kubernetes.items():
        results.check(f"the schemas of {version} are strict", lambda schemas=schemas: openapi.the_check_is_strict(schemas))
    results.check("the check of Pod Security sees violations", pod_security.the_check_sees_violations)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rendered = [[pool.submit(helm.render, release, case) for release in cases.RELEASES] for case in cases.CASES]
        for case, futures in zip(cases.CASES, rendered):
            renderings = []
            results.check(f"{case.name}: renders", lambda: renderings.extend(one.result() for one in futures))
            if renderings:
                check_case(results, validators, case, renderings)
    for values, *words in cases.REFUSED:
        results.check(f"refused: {values}", lambda values=values, words=words: is_refused(values, words))
    demo = next(case for case in cases.CASES if case.name == "the demo")
    if helm.version().startswith("v3."):
        results.skip("notes", "Helm 3 asks a cluster for them")
    else:
        results.check("notes", lambda: notes_name_the_next_command(cases.DEFAULTS, ["kind: QoERoute"]))
        results.check("notes of the demo", lambda: notes_name_the_next_command(demo, ["--watch", '"model": "demo"']))
    for check in (
        documentation.every_value_is_documented,
        documentation.schema_and_values_have_the_same_names,
        documentation.the_definition_is_the_generated_one,
    ):
        results.check(sentence(check), check)
    check_deploy(results, validators)
    print(results.summary())
    return 1 if results.failed or not results.passed else 0


def is_refused(values: dict, words: list[str]) -> None:
    """With a message that says these words, in whichever way this version of Helm writes paths and numbers."""
    said = helm.refusal(values)
    plain = said.replace("/", ".").replace(",", "")
    missing = [word for word in words if word not in plain]
    assert not missing, f"{missing} is not in: {said}"


if __name__ == "__main__":
    sys.exit(main())
