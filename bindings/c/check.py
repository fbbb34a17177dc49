#!/usr/bin/env python3
"""Builds and runs the examples and the checks of the C interface: with warnings as errors, under sanitizers, and under valgrind.

    python3 bindings/c/check.py

It needs Rust, a C and a C++ compiler, and NumPy, which makes the tiny models. What it skips, it says, with the reason.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
# What the static library needs besides itself.
LIBRARIES = ["-lpthread", "-ldl", "-lm"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
# The library writes machine code, which valgrind must not keep from an earlier use of the same memory.
VALGRIND = [
    *["valgrind", "--quiet", "--smc-check=all-non-file", "--child-silent-after-fork=yes", "--error-exitcode=99"],
    *["--leak-check=full", "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"],
]


def run(command: list[str], **options: object) -> str:
    """Runs a command that must succeed, and gives what it printed."""
    print("+", " ".join(map(str, command)), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stdout}")
    return str(done.stdout)


def expect(found: str, expected: list[str]) -> None:
    """Checks that lines begin with scores and end with the texts in order."""
    texts = [line.split(" ", 1)[1] for line in found.splitlines()]
    if texts != expected:
        sys.exit(f"found {texts}; expected {expected}")


def compile_all(folder: Path, library: list[str], options: list[str]) -> dict[str, Path]:
    """The programs, by name."""
    include = ["-I", str(HERE / "include")]
    c, cpp = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
    sources = {
        "tasks": ([c, "-std=c11"], "examples/tasks.c", ["-lm"]),
        "tasks++": ([cpp, "-std=c++17"], "examples/tasks.cpp", []),
        "contract": ([c, "-std=gnu11"], "tests/contract.c", ["-lm"]),
        "wrapper": ([cpp, "-std=c++17"], "tests/wrapper.cpp", []),
    }
    folder.mkdir(parents=True, exist_ok=True)
    programs = {}
    for name, (compiler, source, extra) in sources.items():
        programs[name] = folder / name
        run([*compiler, *WARNINGS, *options, *include, str(HERE / source), "-o", str(programs[name]), *library, *extra, *LIBRARIES])
    return programs


def check(programs: dict[str, Path], models: dict[str, Path], before: list[str], environment: dict[str, str]) -> None:
    """Runs the programs, and looks at what they print."""
    embedder = str(models["classifier"])
    for name in ("tasks", "tasks++"):
        if name not in programs:
            continue
        program = [*before, str(programs[name])]
        options = {"env": environment}
        texts = ["a cat sat on the mat", "a cat sat on the rug", "paris ?"]
        found = run([*program, "embed", embedder, *texts], **options)
        expect(found, texts)
        cosines = [float(line.split()[0]) for line in found.splitlines()]
        if not (cosines[0] == 1 and 1 > cosines[1] > cosines[2]):
            sys.exit(f"found the cosines {cosines}; expected 1 and then less and less")
        found = run([*program, "rank", str(models["reranker"]), "a cat ?", "a dog ran", "a cat cat cat"], **options)
        expect(found, ["a cat cat cat", "a dog ran"])
        found = run([*program, "tag", str(models["tagger"]), "the ada sat .", "in paris"], **options)
        spans = [[word for i, word in enumerate(line.split()) if i != 2] for line in found.splitlines()]
        if spans != [["0", "PER", "ada"], ["1", "LOC", "paris"]]:
            sys.exit(f"found the spans {spans}; expected ada and paris")
        done = subprocess.run([*program, "embed", "no/such/model", "a"], capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 1 or done.stdout or "error (not found): " not in done.stderr or len(done.stderr.splitlines()) != 1:
            sys.exit(f"{name} without a model: found {done}; expected one line on stderr")
    order = ("classifier", "reranker", "tagger", "answerer", "filler")
    for name in ("contract", "wrapper"):
        if name not in programs:
            continue
        print(run([*before, str(programs[name]), *(str(models[kind]) for kind in order)], env=environment), end="")


def installed(out: Path, models: dict[str, Path]) -> None:
    """Installs with cargo-c into a folder, and builds an example as users do: with pkg-config."""
    if shutil.which("cargo-cbuild") is None or shutil.which("pkg-config") is None:
        print("skipped: cargo-c and pkg-config; one of them is missing (cargo install cargo-c)")
        return
    prefix = out / "installed"
    run(["cargo", "cinstall", "--release", "--locked", "--package", "lacuna-c", "--prefix", str(prefix), "--libdir", "lib"], cwd=HERE)
    environment = os.environ | {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    flags = run(["pkg-config", "--cflags", "--libs", "lacuna"], env=environment).split()
    static = run(["pkg-config", "--static", "--libs", "lacuna"], env=environment).split()
    c = os.environ.get("CC", "cc")
    program = str(out / "pkg-config-tasks")
    run([c, "-std=c11", *WARNINGS, str(HERE / "examples/tasks.c"), "-o", program, *flags, "-lm"])
    texts = ["a cat sat on the mat", "paris ?"]
    shared = os.environ | {"LD_LIBRARY_PATH": str(prefix / "lib")}
    expect(run([program, "embed", str(models["classifier"]), *texts], env=shared), texts)
    archive = [str(prefix / "lib/liblacuna.a") if flag == "-llacuna" else flag for flag in static]
    run([c, "-std=c11", *WARNINGS, f"-I{prefix / 'include'}", str(HERE / "examples/tasks.c"), "-o", program, *archive, "-lm"])
    expect(run([program, "embed", str(models["classifier"]), *texts]), texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, metavar="FOLDER", help="where liblacuna_c.so and liblacuna_c.a are; without it they are built")
    parser.add_argument("--skip-install", action="store_true", help="do not install with cargo-c, which builds the library again")
    arguments = parser.parse_args()

    sys.path.insert(0, str(HERE.parent / "python/tests"))
    import tiny

    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")).resolve()
    out = target / "bindings-c"
    models = {}
    for kind in ("classifier", "reranker", "tagger", "answerer", "filler"):
        models[kind] = getattr(tiny, kind)(out / "models" / kind)
    if arguments.library is None:
        run(["cargo", "build", "--locked", "--release", "--package", "lacuna-c"], cwd=HERE)
    built = (arguments.library or target / "release").resolve()
    static = [str(built / "liblacuna_c.a")]
    shared = ["-L", str(built), "-llacuna_c", f"-Wl,-rpath,{built}"]

    print("\n== shared library")
    check(compile_all(out / "shared", shared, []), models, [], dict(os.environ))
    print("\n== static library, with sanitizers")
    sanitized = os.environ | {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    check(compile_all(out / "sanitized", static, SANITIZE), models, [], dict(sanitized))
    print("\n== valgrind")
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is missing")
    else:
        # Valgrind knows no AVX-512, and says so in CPUID. It is slow, so the same calls from C++ are left out.
        programs = compile_all(out / "static", static, ["-g"])
        check({name: programs[name] for name in ("tasks", "contract")}, models, VALGRIND, dict(os.environ))
    print("\n== cargo-c")
    if arguments.skip_install:
        print("skipped: cargo-c; --skip-install was given")
    else:
        installed(out, models)
    print("\nall checks of the C interface passed")


if __name__ == "__main__":
    main()
