"""vLLM's NIXL pull connector, made a good neighbour on a machine with few cores.

NIXL starts a progress thread that polls without rest and takes a whole core even when nothing moves, since its Python
interface sets the time that a poll may wait to 0. With four servers on two cores that starves the servers themselves.
Here a poll waits until something comes, or for this long.

Loaded by name through `kv_connector_module_path`; see serve.sh.
"""

import nixl._bindings
from vllm.distributed.kv_transfer.kv_connector.v1.nixl import NixlPullConnector

POLL_MICROSECONDS = 1_000


class PatientAgentConfig(nixl._bindings.nixlAgentConfig):
    def __setattr__(self, name: str, value) -> None:
        super().__setattr__(name, POLL_MICROSECONDS if name == "pthrDelay" else value)


nixl._bindings.nixlAgentConfig = PatientAgentConfig


class NixlConnector(NixlPullConnector):
    """The connector under the name that peers compare; nothing else differs."""
