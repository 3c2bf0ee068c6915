"""Runs the tests: a case is a function that takes the `World`, asserts, and returns one line of figures."""

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import cluster
from fleet import Fleet
from load import Load

CASES: list[Callable] = []


class TooLong(BaseException):
    """Not a failure of the case at hand alone: the tests have to end."""


@dataclass
class World:
    """What the tests share. They run in the order they are written: the first installs, the last uninstalls."""

    fleet: Fleet = field(default_factory=Fleet)

    def load(self) -> Load:
        """Streams through the router's Service to the fleet, by the Service's DNS name."""
        return Load(cluster.ROUTER_URL, self.fleet.model)


def case(function: Callable) -> Callable:
    CASES.append(function)
    return function


def needed(function: Callable) -> Callable:
    """A case without which those after it mean nothing."""
    function.needed = True
    return case(function)


def run_all(world: World) -> tuple[int, int]:
    """How many passed, and how many did not."""
    passed = 0
    for function in CASES:
        started = time.monotonic()
        try:
            figures = function(world)
            passed += 1
            print(f"ok      {function.__name__}: {figures} ({time.monotonic() - started:.1f} s)", flush=True)
        except (Exception, TooLong) as failure:
            print(f"FAILED  {function.__name__} ({time.monotonic() - started:.1f} s)", flush=True)
            traceback.print_exc(file=sys.stdout)
            cluster.show_all()
            if hasattr(function, "needed") or isinstance(failure, TooLong):
                break
    return passed, len(CASES) - passed
