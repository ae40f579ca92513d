"""Three clients' own integration suites against the broker: run.py BINARY SCRATCH BUILT [SUITE...]

Each suite comes from the client's published package at a pinned version and gets a broker of its own with the settings that
it wants. A test that fails and is not named in suites.toml with its cause is a failure; so is a named one that passes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from broker import Broker  # noqa: E402

LIMIT_SECONDS = 1200


def command(words, **more):
    done = subprocess.run(words, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


def crate(name, suite, built):
    """A copy of the published crate that can be built on its own."""
    manifest = os.path.join(HERE, "crates", "Cargo.toml")
    listed = json.loads(command(["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", manifest]))
    found = next(p for p in listed["packages"] if (p["name"], p["version"]) == (suite["package"], suite["version"]))
    at = os.path.join(built, f"suite-{name}")
    if not os.path.exists(at):
        # Its authors' toolchain is not ours.
        shutil.copytree(os.path.dirname(found["manifest_path"]), at, ignore=shutil.ignore_patterns("rust-toolchain*"))
        with open(os.path.join(at, "Cargo.toml"), "a") as file:
            file.write("\n[workspace]\n")
        shutil.copy(os.path.join(HERE, f"{name}.lock"), os.path.join(at, "Cargo.lock"))
        for dependency in suite.get("update", []):
            command(["cargo", "update", "-p", dependency], cwd=at)
    return at


def by_cargo(name, suite, built, environment):
    """Every test's name and whether it was ok."""
    at = crate(name, suite, built)
    target = os.path.join(built, f"suite-{name}-target")
    build = ["cargo", "test", "--locked", "--no-fail-fast", "--target-dir", target, *suite["arguments"]]
    command([*build, "--no-run"], cwd=at)
    done = subprocess.run(
        [*build, "--", "--test-threads=1"], cwd=at, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS
    )
    results = dict(re.findall(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)", done.stdout, re.M))
    return explained(results, done.returncode), done.stdout


def explained(results, code):
    """The results, with one more that failed where the process failed and no test says why."""
    return results if code == 0 or "FAILED" in results.values() else results | {f"the suite itself (exit code {code})": "FAILED"}


def by_pytest(name, suite, built, environment):
    at = os.path.join(built, f"suite-{name}")
    python = os.path.join(at, "venv", "bin", "python")
    if not os.path.exists(python) or not any(n.endswith(".tar.gz") for n in os.listdir(at)):
        shutil.rmtree(at, ignore_errors=True)
        command([sys.executable, "-m", "venv", os.path.join(at, "venv")])
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        command([*pip, "install", "-r", os.path.join(HERE, f"{name}.txt")])
        wanted = f"{suite['package']}=={suite['version']}"
        command([*pip, "download", "--no-deps", "--no-binary", ":all:", "-d", at, wanted])
    source = next(n for n in os.listdir(at) if n.endswith(".tar.gz")).removesuffix(".tar.gz")
    if not os.path.exists(os.path.join(at, source)):
        with tarfile.open(os.path.join(at, source + ".tar.gz")) as archive:
            archive.extractall(at, filter="data")
    told = os.path.join(at, "told.xml")
    if os.path.exists(told):
        os.remove(told)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={told}", *suite["arguments"]],
        cwd=os.path.join(at, source), env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS,
    )
    results = {}
    for case in xml.etree.ElementTree.parse(told).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        is_ = "FAILED" if kinds & {"failure", "error"} else "ignored" if "skipped" in kinds else "ok"
        results[f"{case.get('classname')}.{case.get('name')}"] = is_
    return explained(results, done.returncode), done.stdout


def judged(name, suite, results):
    """Prints what is not as expected; whether the suite is as expected."""
    counted = {test: is_ for test, is_ in results.items() if re.search(suite.get("touches", ""), test) or " " in test}
    known = suite.get("known", [])
    good = "ok" in counted.values()
    for one in known:
        if not any(re.search(one["test"], test) for test in counted):
            print(f"FAIL suite_{name} {one['test']} is in suites.toml and no test of that name ran", flush=True)
            good = False
    for test, is_ in sorted(counted.items()):
        cause = next((one["why"] for one in known if re.search(one["test"], test)), None)
        if is_ == "FAILED":
            print(f"{'RED ' if cause else 'FAIL'} suite_{name} {test}{': ' + cause if cause else ''}", flush=True)
            good &= cause is not None
        elif is_ == "ok" and cause:
            print(f"FAIL suite_{name} {test} passes: strike it from suites.toml", flush=True)
            good = False
    counts = [sum(is_ == kind for is_ in counted.values()) for kind in ("ok", "FAILED", "ignored")]
    told = f"{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped of those that touch the broker"
    print(f"{'PASS' if good else 'FAIL'} suite_{name} {suite['version']}: {told}", flush=True)
    return good


def main():
    binary, scratch, built, *asked = sys.argv[1:]
    built, scratch = os.path.abspath(built), os.path.abspath(scratch)
    os.makedirs(built, exist_ok=True)
    os.makedirs(scratch, exist_ok=True)
    with open(os.path.join(HERE, "suites.toml"), "rb") as file:
        suites = tomllib.load(file)["suite"]
    good = True
    for name, suite in suites.items():
        if asked and name not in asked:
            continue
        began = time.monotonic()
        data = os.path.join(scratch, f"suite-{name}")
        shutil.rmtree(data, ignore_errors=True)
        broker = Broker(binary, data, settings=["group.initial.rebalance.delay.ms=100", *suite["broker"]])
        if "port" in suite:
            broker.address = f"127.0.0.1:{suite['port']}"
        broker.start()
        try:
            environment = os.environ | {k: v.format(address=broker.address) for k, v in suite["environment"].items()}
            results, output = {"cargo": by_cargo, "pytest": by_pytest}[suite["kind"]](name, suite, built, environment)
            with open(os.path.join(scratch, f"suite-{name}.out"), "w") as file:
                file.write(output)
            good &= judged(name, suite, results)
            broker.stop()
        finally:
            if broker.alive():
                broker.kill()
        shutil.rmtree(data, ignore_errors=True)
        print(f"     {name} took {time.monotonic() - began:.0f} s", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
