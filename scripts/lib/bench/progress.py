"""The display of the current step, the progress and the time left."""
import sys
import time


class Progress:
    def __init__(self):
        self.is_terminal = sys.stderr.isatty()
        self.started = time.monotonic()
        self.total = 0
        self.done = 0
        self.spent = 0.0
        self.last = ""
        self.line = ""

    def expect(self, seconds):
        """Adds seconds of work to the plan."""
        self.total += seconds

    def step(self, what, seconds):
        """Begins a step that the plan has with this duration."""
        self.done += seconds
        elapsed = time.monotonic() - self.started
        before = self.done - seconds
        # The plan does not know what starting programs costs here, so this extrapolates from the past.
        pace = elapsed / before if before > 20 else 1.15
        left = max(0.0, (self.total - before) * pace)
        percent = 100 * before / max(self.total, 1e-9)
        self.show(f"{percent:3.0f} %, {clock(left)} left: {what}")

    def show(self, line):
        self.line = line
        if self.is_terminal:
            sys.stderr.write("\r\033[K" + line[:118])
            sys.stderr.flush()
        elif line.partition(": ")[2].partition(", round")[0] != self.last:
            # Without a terminal: a line for each row, not for each round.
            self.last = line.partition(": ")[2].partition(", round")[0]
            print(line, file=sys.stderr, flush=True)

    def say_more(self, text):
        """Adds a remark to the current step, on a terminal."""
        if self.is_terminal:
            sys.stderr.write("\r\033[K" + f"{self.line} ({text})"[:118])
            sys.stderr.flush()

    def say(self, line):
        """Prints a line that stays."""
        if self.is_terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
        print(line, flush=True)

    def end(self, line):
        self.say(f"{line} ({clock(time.monotonic() - self.started)})")


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
