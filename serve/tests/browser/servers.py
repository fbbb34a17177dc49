"""A `lacuna serve` that runs while a test uses it, and requests to it without a browser."""

import json
import os
import re
import subprocess
import threading
import urllib.request


class Server:
    """A server on a free port of this machine."""

    START_SECONDS = 120  # an unoptimised build calibrates the tiny models for a while

    def __init__(self, lacuna, models, key=None):
        command = [lacuna, "serve", "--port", "0", "--instances", "1"]
        for name, path in models:
            command += ["--model", f"{name}={path}"]
        environment = {name: value for name, value in os.environ.items() if name != "LACUNA_API_KEY"}
        if key:
            environment["LACUNA_API_KEY"] = key
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.said = []
        listening = threading.Event()
        self.url = None

        def read():
            for line in self.process.stderr:
                self.said.append(line)
                found = re.search(r"listening on (http://[^\s,]+)", line)
                if found:
                    self.url = found[1]
                    listening.set()
            listening.set()  # it ended

        threading.Thread(target=read, daemon=True).start()
        if not listening.wait(self.START_SECONDS) or not self.url:
            self.end()
            raise SystemExit("the server did not start:\n" + "".join(self.said))

    def post(self, path, body):
        """The JSON of an answer, asked for without the page."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
