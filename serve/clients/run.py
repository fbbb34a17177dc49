#!/usr/bin/env python3
"""Installs pinned clients into a virtual environment, and runs all checks of them against `lacuna serve`.

    python3 serve/clients/run.py --lacuna target/debug/lacuna
    python3 serve/clients/run.py --lacuna target/debug/lacuna --only openai,cohere
    python3 serve/clients/run.py --lacuna target/debug/lacuna --with-mteb      # installs torch, too

The exit status is 1 if a check fails. What cannot be installed is skipped with its reason. Needs Python 3.10 and Linux.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Checks, and the packages that they need beside numpy.
CLIENTS = {
    "openai": ["openai"],
    "huggingface": ["huggingface_hub"],
    "triton": ["tritonclient"],
    "cohere": ["cohere"],
    "rerankers": ["rerankers"],
    "llama_index": ["llama-index-embeddings-text-embeddings-inference", "llama-index-postprocessor-tei-rerank"],
    "langchain": ["langchain-openai"],
    "schemathesis": ["schemathesis"],
    "mteb": ["mteb", "openai", "tiktoken"],
}
# Checks without a client: they need numpy only.
OTHERS = {"faults": ["faults.py", "--quick"], "soak": ["soak.py", "--quick"]}


def pinned():
    """Lines of the requirements by the package's name."""
    lines = [line.strip() for line in (HERE / "requirements.txt").read_text().splitlines()]
    return {re.split(r"[\[=<>;\s]", line)[0]: line for line in lines if line and not line.startswith("#")}


def install(python, lines):
    """Installs; the reason if that is not possible."""
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *lines]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["pip failed"])[-1]


def environment(folder, names):
    """A virtual environment, and for each check that cannot run the reason."""
    python, lines = str(Path(folder) / "bin" / "python"), pinned()
    if not Path(python).exists():
        try:
            venv.create(folder, with_pip=True, symlinks=True)
        except (subprocess.CalledProcessError, OSError) as error:
            return python, dict.fromkeys([*names, *OTHERS], f"no virtual environment: {error}")
    if reason := install(python, [lines["numpy"]]):
        return python, dict.fromkeys([*names, *OTHERS], reason)
    wanted = [lines[package] for name in names for package in CLIENTS[name]]
    if not wanted or install(python, wanted) is None:
        return python, {}
    # One that cannot be installed must not hide the others.
    reasons = {name: install(python, [lines[package] for package in CLIENTS[name]]) for name in names}
    return python, {name: reason for name, reason in reasons.items() if reason}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lacuna", type=Path, default=HERE.parents[1] / "target" / "debug" / "lacuna", help="the command")
    parser.add_argument("--only", help="names of checks, with commas: " + ", ".join([*CLIENTS, *OTHERS]))
    parser.add_argument("--with-mteb", action="store_true", help="also mteb, which installs torch: some gigabytes")
    parser.add_argument("--venv", type=Path, help="folder of the virtual environment [default: a temporary one]")
    options = parser.parse_args()
    if not options.lacuna.is_file():
        parser.error(f"--lacuna: found no file {options.lacuna}; expected the command, as `cargo build` makes it")
    asked = options.only.split(",") if options.only else [*CLIENTS, *OTHERS]
    if unknown := set(asked) - {*CLIENTS, *OTHERS}:
        parser.error(f"--only: found {', '.join(sorted(unknown))}; expected {', '.join([*CLIENTS, *OTHERS])}")
    skipped, results = {}, {}
    if "mteb" in asked and not options.with_mteb:
        asked.remove("mteb")
        skipped["mteb"] = "it needs torch; --with-mteb runs it"
    with tempfile.TemporaryDirectory() as temporary:
        python, reasons = environment(options.venv or temporary, [name for name in asked if name in CLIENTS])
        skipped |= reasons
        for name in asked:
            if name in skipped:
                continue
            command = OTHERS.get(name) or [f"check_{name}.py"]
            print(f"== {name}", flush=True)
            surroundings = os.environ | {"LACUNA": str(options.lacuna.resolve())}
            results[name] = subprocess.run([python, *command], cwd=HERE, env=surroundings).returncode
    for name, reason in skipped.items():
        print(f"skipped: {name}: {reason}")
    failed = [name for name, status in results.items() if status != 0]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
