"""That what is rendered behaves as promised: drains, discovery, certificates, metrics, policies."""

import base64
import datetime

from cryptography import x509
from cryptography.x509 import verification

import manifests
from helm import CHART, Rendering
from manifests import arguments, component, kind, name, of_kind, pod_spec, pod_template, title

DEFINITION = CHART / "files" / "qoeroutes.yaml"


def deployments(rendering: Rendering, of_component: str) -> list[dict]:
    return [one for one in of_kind(rendering.manifests, "Deployment") if component(one) == of_component]


def rollouts_fail_no_request(rendering: Rendering) -> None:
    """No pod leaves before its successor is ready, and none is killed while it drains."""
    for deployment in of_kind(rendering.manifests, "Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, title(deployment)
        given = arguments(deployment)
        drain = int(given.get("--drain-delay-seconds", 0)) + int(given.get("--drain-seconds", 0))
        [container] = pod_spec(deployment)["containers"]
        drain += container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod_spec(deployment)["terminationGracePeriodSeconds"] > drain > 0, title(deployment)


def replicas_have_one_owner(rendering: Rendering) -> None:
    [router] = deployments(rendering, "router")
    scaled = bool(of_kind(rendering.manifests, "HorizontalPodAutoscaler"))
    assert scaled == rendering.value("router.autoscaling.enabled")
    assert ("replicas" in router["spec"]) != scaled, "both the Deployment and the autoscaler say how many"


def routers_find_controllers(rendering: Rendering) -> None:
    """By a headless Service, with TLS on both sides or on neither."""
    [router], [controller] = deployments(rendering, "router"), deployments(rendering, "controller")
    [service] = [one for one in of_kind(rendering.manifests, "Service") if component(one) == "controller"]
    assert service["spec"]["clusterIP"] == "None" and not service["spec"]["publishNotReadyAddresses"]
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == {"discovery": 9443, "metrics": 9090}
    plain = rendering.value("tls.mode") == "disabled"
    host = f"{name(service)}.{rendering.release.namespace}.svc"
    given = arguments(router)
    assert given["--controller"] == f"{'http' if plain else 'https'}://{host}:9443"
    assert ("--controller-tls-dir" in given) == ("--tls-dir" in arguments(controller)) == (not plain)
    assert arguments(controller)["--class"] == rendering.value("class")
    assert arguments(controller).get("--namespaces", "") == ",".join(rendering.value("namespaces"))
    certificates_are_good(rendering, host)


def certificates_are_good(rendering: Rendering, host: str) -> None:
    for certificate in of_kind(rendering.manifests, "Certificate"):
        if component(certificate) == "controller":
            assert host in certificate["spec"]["dnsNames"] and "server auth" in certificate["spec"]["usages"]
        elif component(certificate) == "router":
            assert "client auth" in certificate["spec"]["usages"]
    secrets = {component(one): one["data"] for one in of_kind(rendering.manifests, "Secret")}
    assert bool(secrets) == (rendering.value("tls.mode") == "chart")
    if not secrets:
        return
    [ca] = {secret["ca.crt"] for secret in secrets.values()}
    trusted = verification.Store([certificate_of(ca)])
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3600)
    policy = verification.PolicyBuilder().store(trusted).time(soon)
    policy.build_server_verifier(x509.DNSName(host)).verify(certificate_of(secrets["controller"]["tls.crt"]), [])
    policy.build_client_verifier().verify(certificate_of(secrets["router"]["tls.crt"]), [])


def certificate_of(data: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(data))


def metrics_are_found_once(rendering: Rendering) -> None:
    """Two ways at once, and Prometheus counts everything twice."""
    ways = {kind(one) for one in of_kind(rendering.manifests, "PodMonitor", "ServiceMonitor")}
    for deployment in deployments(rendering, "controller") + deployments(rendering, "router"):
        if pod_template(deployment)["metadata"].get("annotations", {}).get("prometheus.io/scrape") == "true":
            ways.add("annotations")
    mode = rendering.value("metrics.mode")
    assert ways == ({mode[0].upper() + mode[1:]} if mode.endswith("Monitor") else {mode} - {"none"}), ways
    if mode == "serviceMonitor":
        found = [one for one in of_kind(rendering.manifests, "Service") if "metrics" in port_names(one)]
        assert sorted(map(component, found)) == ["controller", "router"]


def port_names(service: dict) -> set[str]:
    return {port["name"] for port in service["spec"]["ports"]}


def clients_cannot_read_metrics(rendering: Rendering) -> None:
    [service] = [one for one in of_kind(rendering.manifests, "Service") if "http" in port_names(one)]
    assert port_names(service) == {"http"} and service["spec"]["ports"][0]["port"] == rendering.value("router.service.port")


def only_routers_reach_controllers(rendering: Rendering) -> None:
    for policy in of_kind(rendering.manifests, "NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"], title(policy)
        if component(policy) == "controller":
            [discovery] = [one for one in policy["spec"]["ingress"] if one["ports"][0]["port"] == "discovery"]
            [router] = deployments(rendering, "router")
            own, *others = discovery["from"]
            assert own == {"podSelector": router["spec"]["selector"]}, own
            assert others == rendering.value("networkPolicy.discoveryFrom")
    assert bool(of_kind(rendering.manifests, "NetworkPolicy")) == rendering.value("networkPolicy.enabled")


def the_definition_is_as_asked(rendering: Rendering) -> None:
    definitions = of_kind(rendering.manifests, "CustomResourceDefinition")
    assert bool(definitions) == rendering.value("crds.enabled")
    for definition in definitions:
        # Helm has read and written it again: numbers are still what they were.
        assert definition["spec"] == manifests.read(DEFINITION.read_text())[0]["spec"]
        kept = definition["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        assert kept == rendering.value("crds.keep")


def the_demo_is_whole(rendering: Rendering) -> None:
    simulators = deployments(rendering, "demo")
    roles = {
        pod_template(one)["metadata"]["labels"]["llm-d.ai/role"]: arguments(one)["--role"] for one in simulators
    }
    enabled = rendering.value("demo.enabled")
    assert roles == ({"prefill": "prefill", "decode": "decoding"} if enabled else {})
    routes = of_kind(rendering.manifests, "QoERoute")
    assert bool(routes) == enabled
    for route in routes:
        assert route["spec"]["routerClassName"] == rendering.value("class")
        assert route["spec"]["models"] == [rendering.value("demo.model")]
