"""Slows down whoever tries tokens: by address, and all addresses together.

Everything is kept in memory and bounded: a restart forgets it, a flood of addresses cannot grow it.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

FREE_FAILURES: Final = 5  # of one address, before it has to wait
LONGEST_WAIT_S: Final = 60.0
FORGOTTEN_AFTER_S: Final = 900.0
MOST_ADDRESSES: Final = 10_000
ALL_FAILURES: Final = 200.0  # of all addresses together, before all have to wait
ALL_FAILURES_PER_S: Final = 2.0  # how fast those are forgiven
_IPV6_NETWORK_BITS: Final = 64  # what one household or one machine is usually given


class BackOff:
    """Counts failed attempts and says how long an address has to wait.

    After five failures each further one doubles the wait, from one second to one minute. Attempts
    during a wait are refused unseen and not counted. What is counted is forgotten after a quarter
    of an hour without failures.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing counted; `clock_s` tells the seconds that pass."""
        self._clock_s = clock_s
        self._guard = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._all = 0.0
        self._all_at_s = clock_s()

    def wait_s(self, address: str) -> float:
        """Return how many seconds `address` has to wait before its next attempt, 0 for none."""
        now_s = self._clock_s()
        with self._guard:
            count, last_s = self._failures.get(network_of(address), (0, now_s))
            own_s = 0.0
            if count >= FREE_FAILURES and now_s - last_s < FORGOTTEN_AFTER_S:
                # A large exponent would overflow before the minimum is taken.
                own_s = min(2.0 ** min(count - FREE_FAILURES, 10), LONGEST_WAIT_S)
                own_s -= now_s - last_s
            over = self._all_now(now_s) - ALL_FAILURES
            return max(own_s, over / ALL_FAILURES_PER_S if over > 0 else 0.0, 0.0)

    def failed(self, address: str) -> None:
        """Count a failed attempt of `address`."""
        now_s, network = self._clock_s(), network_of(address)
        with self._guard:
            count, last_s = self._failures.pop(network, (0, now_s))
            if now_s - last_s >= FORGOTTEN_AFTER_S:
                count = 0
            self._failures[network] = (count + 1, now_s)
            while len(self._failures) > MOST_ADDRESSES:
                self._failures.popitem(last=False)
            self._all, self._all_at_s = self._all_now(now_s) + 1, now_s

    def _all_now(self, now_s: float) -> float:
        return max(0.0, self._all - (now_s - self._all_at_s) * ALL_FAILURES_PER_S)


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _IPV6_NETWORK_BITS), strict=False))
    return str(found)
