"""Counts of what the server did, in Prometheus' text format."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # upper bounds of the buckets
METHODS = ("GET", "HEAD", "POST", "OPTIONS")


class Metrics:
    """What is counted since the start; `count_waiting` says how many questions wait now."""

    def __init__(self, count_waiting: Callable[[], int]) -> None:
        self.count_waiting = count_waiting
        self.answers: Counter[tuple[str, str, int]] = Counter()  # of each method, route and status
        self.buckets = [0] * (len(SECONDS) + 1)  # answers by the seconds they took
        self.seconds = 0.0  # of all answers together

    def observe_answer(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            method: Of the request; those that are not served count as one.
            route: Pattern of the address: addresses themselves have no end.
            status: 0 where the client went away.
            seconds: From the request's head to the end of the answer.

        """
        self.answers[method if method in METHODS else "other", route, status] += 1
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.seconds += seconds

    def format_text(self) -> str:
        """Write everything in Prometheus' text format, version 0.0.4."""
        lines = ["# HELP polyclip_requests_total Answers by status.", "# TYPE polyclip_requests_total counter"]
        for (method, route, status), count in sorted(self.answers.items()):
            lines.append(f'polyclip_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        name, total = "polyclip_request_seconds", 0
        lines += [f"# HELP {name} Time to each answer, waiting included.", f"# TYPE {name} histogram"]
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        lines += [f"{name}_sum {self.seconds:.6f}", f"{name}_count {total}"]
        lines += ["# HELP polyclip_queue_length Questions that wait now.", "# TYPE polyclip_queue_length gauge"]
        return "\n".join([*lines, f"polyclip_queue_length {self.count_waiting()}"]) + "\n"
