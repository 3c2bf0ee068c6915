"""The releases and values that are rendered, and the values that must be refused."""

from helm import Case, Release

RELEASES = [
    Release("q", "ns"),
    # As long as Helm allows, and a namespace as long as Kubernetes allows.
    Release("release-with-a-name-as-long-as-helm-lets-one-be-at-53", "namespace-" + "n" * 53),
    # Helm allows dots, and a digit first; a Service may have neither. A namespace may look like a number.
    Release("2.qoe-router", "2024"),
]

DEFAULTS = Case("the defaults", {})

ROUTE_API = "qoe-router.io/v1alpha1/QoERoute"

POD_VALUES = {
    "podAnnotations": {"example.com/note": "yes"},
    "podLabels": {"example.com/tier": "edge", "app.kubernetes.io/component": "cannot-be-replaced"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "llm", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["llm"]}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2},
        {"maxSkew": 1, "topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}},
    ],
    "priorityClassName": "system-cluster-critical",
    "serviceAccount": {"annotations": {"example.com/role": "none"}},
    "podDisruptionBudget": {"maxUnavailable": "25%"},
}

PEERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "apps"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]
EGRESS = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 8000, "protocol": "TCP"}]}]

EVERYTHING = Case(
    "all there is",
    {
        "class": "1e3",
        "commonLabels": {"team": "llm", "app.kubernetes.io/name": "cannot-be-replaced"},
        "imagePullSecrets": [{"name": "registry"}],
        "image": {"router": {"repository": "example.com/qoe/router", "tag": "1.2.3@sha256:" + "a" * 64, "pullPolicy": "Always"}},
        "log": {"level": "info,qoe_router=debug", "format": "json"},
        "bindAddress": "[::]",
        "controller": {"replicas": 3, "extraArgs": ["--identity=me"], "drainSeconds": 20, **POD_VALUES},
        "router": {
            "workers": 4,
            "extraArgs": ["--scrape-interval-ms=500"],
            "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"example.com/internal": "true"}},
            "autoscaling": {
                "enabled": True,
                "minReplicas": 3,
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
            },
            **POD_VALUES,
        },
        "metrics": {"mode": "podMonitor", "interval": "15s", "labels": {"release": "prometheus"}},
        "networkPolicy": {
            "clientsFrom": PEERS,
            "metricsFrom": PEERS,
            "discoveryFrom": PEERS,
            "routerEgress": EGRESS,
            "controllerEgress": EGRESS,
        },
        "demo": {"enabled": True, "model": "demo: \"quoted\"", "profile": "instant"},
    },
)

NOTHING = Case(
    "as little as possible",
    {
        "rbac": {"create": False},
        "crds": {"enabled": False},
        "tls": {"mode": "disabled"},
        "metrics": {"mode": "none"},
        "networkPolicy": {"enabled": False},
        **{
            component: {
                "serviceAccount": {"create": False},
                "podDisruptionBudget": {"enabled": False},
                "topologySpreadConstraints": [],
            }
            for component in ("controller", "router")
        },
    },
)

CASES = [
    DEFAULTS,
    EVERYTHING,
    NOTHING,
    Case("TLS by cert-manager", {"tls": {"mode": "cert-manager"}}),
    Case(
        "TLS by an issuer",
        {"tls": {"mode": "cert-manager", "certManager": {"issuerRef": {"name": "corporate", "kind": "ClusterIssuer"}}}},
    ),
    Case(
        "TLS by existing secrets",
        {"tls": {"mode": "existing", "existing": {"controllerSecret": "my-controller", "routerSecret": "my-router"}}},
    ),
    Case("no TLS", {"tls": {"mode": "disabled"}}),
    Case("two namespaces", {"namespaces": ["team-a", "007"]}),
    Case("PodMonitor", {"metrics": {"mode": "podMonitor"}}),
    Case("ServiceMonitor", {"metrics": {"mode": "serviceMonitor"}}),
    Case("no metrics", {"metrics": {"mode": "none"}}),
    Case("the demo", {"demo": {"enabled": True}}),
    Case("the demo, where routes are known", {"demo": {"enabled": True}}, [ROUTE_API]),
    Case("other names", {"nameOverride": "router", "fullnameOverride": "f" * 63, "crds": {"keep": False}}),
    Case("users assigned by the platform", {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}),
]

# Values, and what the refusal must name: where it is wrong, and what is wrong or would be right.
REFUSED = [
    ({"router": {"replica": 3}}, "router", "replica", "not allowed"),
    ({"tsl": {"mode": "disabled"}}, "tsl", "not allowed"),
    ({"router": {"replicas": "three"}}, "router.replicas", "string", "integer"),
    ({"router": {"replicas": -1}}, "router.replicas", "0"),
    ({"router": {"drainSeconds": 4000}}, "router.drainSeconds", "3600"),
    ({"router": {"service": {"port": 0}}}, "router.service.port", "1"),
    ({"router": {"extraArgs": "--workers=1"}}, "router.extraArgs", "string", "array"),
    ({"router": {"resources": {"limit": {}}}}, "router.resources", "limit", "not allowed"),
    ({"image": {"router": {"tag": "a b"}}}, "image.router.tag", "match pattern"),
    ({"image": {"bench": {}}}, "image", "bench", "not allowed"),
    ({"tls": {"mode": "mutual"}}, "tls.mode", "chart", "cert-manager", "existing", "disabled"),
    ({"metrics": {"mode": "both"}}, "metrics.mode", "annotations", "podMonitor", "serviceMonitor", "none"),
    ({"metrics": {"mode": ["annotations", "podMonitor"]}}, "metrics.mode", "must be one of"),
    ({"log": {"format": "xml"}}, "log.format", "text", "json"),
    ({"class": "Blue Team"}, "class", "match pattern"),
    ({"namespaces": "team-a"}, "namespaces", "string", "array"),
    ({"namespaces": ["Team_A"]}, "namespaces.0", "match pattern"),
    ({"namespaces": ["team-a", "team-a"]}, "namespaces", "items"),
    ({"controller": {"podDisruptionBudget": {"maxUnavailable": "some"}}}, "controller.podDisruptionBudget.maxUnavailable"),
    ({"commonLabels": {"replicas": 3}}, "commonLabels.replicas", "string"),
    ({"demo": {"profile": "b200"}}, "demo.profile", "llama-8b-h100", "llama-8b-a100", "instant"),
    (
        {"router": {"autoscaling": {"enabled": True, "minReplicas": 20}}},
        "router.autoscaling.minReplicas is above maxReplicas: swap them or change one",
    ),
    (
        {"demo": {"enabled": True}, "namespaces": ["team-a"]},
        "demo.enabled puts pods into the namespace default which is not watched: add it to namespaces",
    ),
    (
        {"tls": {"certManager": {"issuerRef": {"kind": "ClusterIssuer"}}}},
        "tls.certManager.issuerRef has no name: write {name: …",
    ),
]
