"""Simulated vLLM servers in a namespace of their own, and the route to them."""

from dataclasses import dataclass

import cluster

PHASES = {"prefill": "prefill", "decoding": "decode"}


@dataclass
class Fleet:
    namespace: str = "llm"
    route: str = "llama"
    model: str = "llama"

    def start(self) -> None:
        """Two servers for each phase."""
        cluster.namespace(self.namespace)
        self.apply((cluster.HERE / "route.yaml").read_text())
        servers = (cluster.HERE / "servers.yaml.in").read_text()
        for phase, label in PHASES.items():
            self.apply(servers.replace("@PHASE@", phase).replace("@LABEL@", label))

    def apply(self, document: str) -> None:
        cluster.kubectl("apply", "--namespace", self.namespace, "-f", "-", given=document)

    def scale(self, **replicas: int) -> None:
        for phase, count in replicas.items():
            cluster.scale(f"llama-{phase}", count, self.namespace)

    def settled(self, **replicas: int) -> None:
        """Waits until the route's status counts these numbers of servers by phase, all of them ready."""
        for phase, count in replicas.items():
            self.wait_for(f"jsonpath={{.status.{phase}}}={count}/{count}")

    def wait_for(self, what: str) -> None:
        cluster.kubectl(
            "wait", f"--for={what}", f"qoeroute/{self.route}", "--namespace", self.namespace, "--timeout=60s"
        )

    def pods(self, phase: str) -> list[dict]:
        return cluster.pods(f"app=vllm-llama,llm-d.ai/role={PHASES[phase]}", self.namespace)

    def names(self, *phases: str) -> list[str]:
        return [cluster.name(pod) for phase in phases or PHASES for pod in self.pods(phase)]

    def delete(self, names: list[str]) -> None:
        """Deletes pods, and waits until they are gone."""
        cluster.kubectl("delete", "pod", *names, "--namespace", self.namespace)

    def restart(self) -> None:
        """Replaces all pods, as a new image would."""
        for phase in PHASES:
            cluster.kubectl("rollout", "restart", f"deployment/llama-{phase}", "--namespace", self.namespace)
        for phase in PHASES:
            cluster.rolled_out(f"llama-{phase}", self.namespace)
