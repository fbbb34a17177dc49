"""Asks `/health` every 10 ms, in a process of its own so that the load does not delay the clock.

    python3 probe.py PORT       # until its standard input ends; then one JSON object
"""

import http.client
import json
import select
import subprocess
import sys
import time

PERIOD = 0.01


class Probe:
    """A running probe of a server."""

    def __init__(self, port):
        command = [sys.executable, __file__, str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()  # it has begun

    def end(self):
        """Ends it: an object with the number of answers, p50, p99 and maximum in ms, and what failed."""
        return json.loads(self.process.communicate(timeout=30)[0])


def main():
    port, latencies, failures, late = int(sys.argv[1]), [], [], [0.0]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    print("begun", flush=True)
    while not latencies or not select.select([sys.stdin], [], [], 0)[0]:
        asked = time.monotonic()
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                failures.append(str(answer.status))
        except (OSError, http.client.HTTPException) as error:
            failures.append(repr(error))
            connection.close()
        answered = time.monotonic()
        latencies.append(answered - asked)
        time.sleep(PERIOD)
        late.append(time.monotonic() - answered - PERIOD)
    latencies.sort()
    ms = lambda seconds: round(seconds * 1000, 2)
    print(
        json.dumps(
            {
                "answers": len(latencies),
                "p50": ms(latencies[len(latencies) // 2]),
                "p99": ms(latencies[len(latencies) * 99 // 100]),
                "max": ms(latencies[-1]),
                # How late the machine woke this process after a sleep: what it takes without any server.
                "machine": ms(max(late)),
                "failures": failures[:5],
            }
        )
    )


if __name__ == "__main__":
    main()
