"""vLLM's NIXL pull connector, made a good neighbour on a machine with few cores.

NIXL starts a progress thread that polls without rest and takes a whole core even when nothing
moves. With four servers on two cores that starves the servers themselves. Here the threads that
an agent starts are put in the idle scheduling class: they still run, in the time nobody else wants.

Loaded by name through `kv_connector_module_path`; see serve.sh.
"""

import os

from nixl._api import nixl_agent
from vllm.distributed.kv_transfer.kv_connector.v1.nixl import NixlPullConnector

_start_agent = nixl_agent.__init__


def _threads() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/task")}


def _start_agent_quietly(self, *args, **kwargs) -> None:
    already_there = _threads()
    _start_agent(self, *args, **kwargs)
    for thread in _threads() - already_there:
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


nixl_agent.__init__ = _start_agent_quietly


class NixlConnector(NixlPullConnector):
    """The connector under the name that peers compare; nothing else differs."""
