"""`schemathesis` over `/openapi.json`: no status 5xx, and no answer that the document does not describe.

Not among the checks are those of requests that the document alone cannot judge. What a model lacks is refused (a prompt, a head), and
the document is the same whether a server has keys or not.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import Checks
from lacuna import REPOSITORY, SHIPPED, Server, head_server

checks = Checks("schemathesis")
EXAMPLES = 10  # for each operation and phase
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def fuzz(server, *options):
    """Runs the command; the number of its cases."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json"]
    options = ["--checks", ",".join(CHECKS), "--seed", "1", "--max-examples", str(EXAMPLES), "--workers", "2", *options]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command + options, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert server.is_running(), "the server ended"
    return re.findall(r"\d+ generated.*", done.stdout)[-1]


@checks
def a_server_that_embeds():
    model = f"{SHIPPED}={REPOSITORY / 'assets' / 'minilm-80.lacuna'}"
    return fuzz(Server("--model", model, "--api-key", "secret"), "--header", "authorization: Bearer secret")


@checks
def a_server_whose_model_ranks():
    return fuzz(head_server("rank"))


checks.run()
