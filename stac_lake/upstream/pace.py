"""How fast and how patiently a provider is asked."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Bounds of one request and of its repetition, in seconds.

    Attributes:
        attempts: How often a request is sent at most.
        backoff_s: Upper bound of the first wait; it doubles each time.
        longest_s: No wait is longer, whatever Retry-After asks for.
        connect_s: For the connection.
        read_s: For each read; the Planetary Computer answers 504 after 30 s, so it is longer.
        deadline_s: For the whole transfer, which a trickle of bytes cannot stretch.
    """

    attempts: int = 5
    backoff_s: float = 0.5
    longest_s: float = 30.0
    connect_s: float = 10.0
    read_s: float = 45.0
    deadline_s: float = 180.0

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """How long to wait after the attempt of that number (from 0).

        Full jitter (uniform in 0 … bound) keeps many workers from coming back together; a
        Retry-After is the least that is waited.
        """
        bound = min(self.longest_s, self.backoff_s * 2**attempt)
        jitter = random.uniform(0, bound)  # not for secrets
        return min(self.longest_s, jitter + (retry_after_s or 0.0))


class TokenBucket:
    """At most `rate` requests per second on average, with bursts of one second's worth.

    Thread-safe. `clock` and `sleep` are those of `time`, or a test's.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = max(1.0, rate)
        self._filled = clock()

    def take(self) -> None:
        """Wait for one token. A debt is taken at once and slept off, so that nobody overtakes."""
        with self._lock:
            now = self._clock()
            if now > self._filled:
                gained = (now - self._filled) * self._rate
                self._tokens = min(max(1.0, self._rate), self._tokens + gained)
                self._filled = now
            self._tokens -= 1
            owed = max(0.0, -self._tokens) / self._rate + max(0.0, self._filled - now)
        if owed > 0:
            self._sleep(owed)

    def hold(self, seconds: float) -> None:
        """Let nobody pass for so long: the provider said 429 to one, and meant all."""
        with self._lock:
            self._filled = max(self._filled, self._clock() + seconds)
            self._tokens = min(self._tokens, 0.0)
