"""The processes under test: vLLM servers and the router, each with its log, ended by pid whatever happens."""

import atexit
import os
import random
import re
import select
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import http_client

HERE = Path(__file__).resolve().parent
LOGS = HERE.parent.parent / "target" / "vllm-test"
KV_LEASE_SECONDS = 10
START_DEADLINE_SECONDS = 300


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different since all are held until the last is known. None that the kernel
    gives to clients: a server takes half a minute to bind, and in that time somebody's connection may have its port."""
    clients_from = max(int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]), 20_000)
    held = []
    while len(held) < count:
        try:
            held.append(socket.create_server(("127.0.0.1", random.randrange(10_000, clients_from))))
        except OSError:
            continue
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def until(what: str, seconds: float, check):
    """Polls `check` until it returns something true, and returns that; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = check()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


class Child:
    """A process in its own group, so that ending it also ends what it started (vLLM: its engine)."""

    def __init__(self, name: str, command: list[str], stdout=None, **env: str):
        self.name = name
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log,
                env={**os.environ, **env},
                start_new_session=True,
            )
        atexit.register(self.kill)

    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.alive():
            self.signal(signal.SIGKILL)
            self.process.wait()

    def tail(self, lines: int = 25) -> str:
        """The end of the log, without the questions that tests and router ask all the time."""
        said = self.log.read_text(errors="replace").splitlines()
        told = [line for line in said if '"GET /' not in line]
        return f"--- {self.log}\n" + "\n".join(told[-lines:])


class Vllm(Child):
    """One vLLM server, without KV transfer if it has no role. `url` has no trailing slash."""

    def __init__(self, name: str, folder: str, role: str | None, port: int, side_channel: int = 0):
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self.role = role
        transfer = [role, str(side_channel)] if role else []
        super().__init__(
            name,
            [str(HERE / "serve.sh"), folder, str(port), *transfer],
            KV_LEASE_SECONDS=str(KV_LEASE_SECONDS),
            # Opens the administrative paths that the router has to keep shut.
            VLLM_SERVER_DEV_MODE="1",
            VLLM_ALLOW_RUNTIME_LORA_UPDATING="1",
        )

    def healthy(self) -> bool:
        assert self.alive(), f"{self.name} ended while starting\n{self.tail()}"
        try:
            return http_client.get(self.url + "/health").status == 200
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all series `vllm:name` that carry these labels; 0 where there is none yet."""
        total = 0.0
        for line in http_client.get(self.url + "/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            found = re.fullmatch(rf"vllm:{name}(?:\{{(.*)\}})?", series)
            if found and all(f'{key}="{want}"' in (found[1] or "") for key, want in labels.items()):
                total += float(value)
        return total

    def transferred_tokens(self) -> float:
        """Prompt tokens whose KV came over the wire instead of being computed here."""
        return self.metric("prompt_tokens_by_source_total", source="external_kv_transfer")

    def busy(self) -> float:
        return self.metric("num_requests_running") + self.metric("num_requests_waiting")


@contextmanager
def held(*servers: Vllm):
    """The servers stand still for the length of the block, or until they are killed in it."""
    for server in servers:
        server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for server in servers:
            if server.alive():
                server.signal(signal.SIGCONT)


def start_fleet(folder: str, prefill: int, decoding: int) -> list[Vllm]:
    """All servers at once: loading is mostly waiting, so four take little longer than one."""
    names = [f"p{i}" for i in range(prefill)] + [f"d{i}" for i in range(decoding)]
    ports = free_ports(2 * len(names))
    fleet = []
    for name in names:
        role = "kv_producer" if name.startswith("p") else "kv_consumer"
        fleet.append(Vllm(name, folder, role, ports.pop(), ports.pop()))
    for server in fleet:
        until(f"{server.name} healthy", START_DEADLINE_SECONDS, server.healthy)
    return fleet


class Router(Child):
    """The router under test in front of some servers, `handoff` being a QoERoute's handoff section."""

    def __init__(self, name: str, binary: str, servers: list[Vllm], handoff: str, policy: str = "Weighted"):
        LOGS.mkdir(parents=True, exist_ok=True)
        config = LOGS / f"{name}.yaml"
        config.write_text(route(servers, handoff, policy))
        command = [binary, "--config", str(config), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        super().__init__(name, command, stdout=subprocess.PIPE)
        self.url, self.admin = self._ready_line()
        until(f"{name} ready", 20, lambda: http_client.get(self.admin + "/ready").status == 200)

    def _ready_line(self) -> tuple[str, str]:
        out = self.process.stdout
        ready, _, _ = select.select([out], [], [], 20)
        line = out.readline().decode() if ready else ""
        found = re.fullmatch(r"qoe-router listening on (http://\S+) \(admin (http://\S+)\)\n", line)
        assert found, f"no ready line but {line!r}\n{self.tail()}"
        return found[1], found[2]

    def endpoints(self) -> list[dict]:
        """What it knows and holds of each server."""
        return http_client.get(self.admin + "/debug/endpoints").json["endpoints"]

    def last_requests(self, most: int) -> list[dict]:
        """What it did with the last requests that ended, newest first."""
        return http_client.get(f"{self.admin}/debug/requests?limit={most}").json["requests"]

    def holds_nothing(self) -> bool:
        """Its own ledger: no request in flight anywhere, no token of one, no prompt waited for."""
        return not any(count for one in self.endpoints() for count in one["inFlight"].values())


def route(servers: list[Vllm], handoff: str, policy: str) -> str:
    endpoints = "\n".join(
        f'- {{name: {one.name}, url: "{one.url}", labels: {{llm-d.ai/role: {phase_label(one)}}}}}' for one in servers
    )
    return f"""apiVersion: qoe-router.io/v1alpha1
kind: QoERoute
metadata: {{name: tiny}}
spec:
  models: [tiny]
  policy: {{type: {policy}}}
  handoff: {{{handoff}}}
---
apiVersion: qoe-router.io/v1alpha1
kind: EndpointList
endpoints:
{endpoints}
"""


def phase_label(server: Vllm) -> str:
    return {"kv_producer": "prefill", "kv_consumer": "decode"}.get(server.role, "both")
