# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benchmarks share: how long they may take, and what they show meanwhile."""
import sys
import time

SECONDS = 100  # for all cases together, where nobody says how many runs there shall be
RUNS = 20
RUNS_MIN = 3


def add_arguments(parser):
    parser.add_argument("--runs", type=int, help=f"updates of each case (default: as many as there is time for, at most {RUNS})")
    parser.add_argument("--seconds", type=float,
                        help=f"how long all cases may take together (default: {SECONDS}, or without end with --runs)")


class Clock:
    """Divides the time among the cases: one that needs less leaves the rest to those after it."""

    def __init__(self, arguments, n_cases):
        self.most = arguments.runs or RUNS
        seconds = arguments.seconds or (float("inf") if arguments.runs else SECONDS)
        self.end = time.monotonic() + seconds
        self.n_left = n_cases
        self.case_end = self.end

    def begin_case(self):
        now = time.monotonic()
        self.case_end = now + (self.end - now) / self.n_left
        self.n_left -= 1

    def goes_on(self, done, most=None):
        """Whether a case that has so many runs gets another: one in any case, a few while there is time at all."""
        now = time.monotonic()
        enough = 1 if now > self.end else RUNS_MIN if now > self.case_end else most or self.most
        return done < min(enough, most or self.most)


def show(text):
    """Where somebody looks on: what is being done, in a line that the next one replaces."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def print_line(text):
    """A line of the result."""
    show("")
    print(text, flush=True)
