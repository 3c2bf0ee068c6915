"""The release in a real cluster, from `helm install` to `helm uninstall`. See run.sh, which runs this inside the node."""

import signal
import sys
import time

from cases import TooLong, World, run_all

# The order of these is the order of the tests.
import installing, reading, churn, upgrading, outage, rotation, uninstalling  # noqa: E401, F401  isort: skip

DEADLINE_SECONDS = 8 * 60


def too_long(*_) -> None:
    raise TooLong(f"the tests took longer than {DEADLINE_SECONDS} s")


def interrupted(*_) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def main() -> int:
    # Line by line also into a pipe.
    sys.stdout.reconfigure(line_buffering=True)
    # An orderly exit.
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(DEADLINE_SECONDS)
    started = time.monotonic()
    passed, failed = run_all(World())
    print(f"{passed} passed, {failed} failed, in {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
