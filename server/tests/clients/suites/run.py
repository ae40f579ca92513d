"""Three clients' own integration suites against the broker: run.py [--write] BINARY SCRATCH BUILT [SUITE...]

Each suite comes from the client's published package at a pinned version and gets a broker of its own with the settings that
it wants. A test that fails and is not named in suites.toml with its cause is a failure; so is a named one that passes, and
another number of tests that pass. `--write` keeps what came of all suites as results.md.
"""

import datetime
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
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from broker import Broker  # noqa: E402

LIMIT_SECONDS = 1200
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
LIBTEST = {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}


@dataclass
class Test:
    name: str
    outcome: str
    # Whether it is a test of the client alone.
    unit: bool = False
    # What the suite itself says of it, if anything.
    why: str = ""


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
    if not os.path.exists(os.path.join(at, "Cargo.lock")):
        shutil.rmtree(at, ignore_errors=True)
        # Its authors' toolchain is not ours.
        shutil.copytree(os.path.dirname(found["manifest_path"]), at, ignore=shutil.ignore_patterns("rust-toolchain*"))
        with open(os.path.join(at, "Cargo.toml"), "a") as file:
            file.write("\n[workspace]\n")
        shutil.copy(os.path.join(HERE, f"{name}.lock"), os.path.join(at, "Cargo.lock"))
    return at


def of_crate(name, suite, built):
    """The crate's folder, and its test programs: (name, path, whether it tests the client alone)."""
    at = crate(name, suite, built)
    words = ["cargo", "test", "--locked", "--lib", "--tests", "--no-run", "--message-format=json"]
    words += ["--features", ",".join(suite.get("features", [])), "--target-dir", os.path.join(built, f"suite-{name}-target")]
    told = command(words, cwd=at)
    programs = []
    for line in told.splitlines():
        one = json.loads(line)
        if one["reason"] == "compiler-artifact" and one["profile"]["test"] and one["executable"]:
            programs.append((one["target"]["name"], one["executable"], "test" not in one["target"]["kind"]))
    return at, programs


def by_cargo(prepared, suite, environment):
    at, programs = prepared
    tests, output = [], ""
    for program, path, unit in programs:
        done = subprocess.run(
            [path, "--test-threads=1"], cwd=at, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS
        )
        output += f"=== {program}\n{done.stdout}\n{done.stderr}\n"
        # What a C library writes may stand between a test's name and its outcome.
        told = re.findall(r"^test (\S+)(?: - should panic)? \.\.\. .*?(ok|FAILED|ignored)(?:, .*)?$", done.stdout, re.M)
        mine = [Test(f"{program}::{test}", LIBTEST[outcome], unit) for test, outcome in told]
        tests += explained(mine, program, done.returncode)
    return tests, output


def explained(tests, program, code):
    """The tests, with one more that failed where the program failed and no test says why."""
    if code == 0 or any(test.outcome == FAILED for test in tests):
        return tests
    return [*tests, Test(f"{program} itself (exit code {code})", FAILED)]


def of_package(name, suite, built):
    """The interpreter that has what the suite wants, and the unpacked source."""
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
    # The distribution lacks both, and Python has a package `test` itself.
    open(os.path.join(at, source, "test", "__init__.py"), "w").close()
    shutil.copy(os.path.join(HERE, f"{name}-service.py"), os.path.join(at, source, "test", "service.py"))
    return python, os.path.join(at, source)


def by_pytest(prepared, suite, environment):
    python, source = prepared
    told = os.path.join(os.path.dirname(source), "told.xml")
    if os.path.exists(told):
        os.remove(told)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={told}", *suite["arguments"]],
        cwd=source, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS,
    )
    tests = []
    cases = xml.etree.ElementTree.parse(told).getroot().iter("testcase") if os.path.exists(told) else ()
    for case in cases:
        outcome, why = PASSED, ""
        for child in case:
            if child.tag in ("failure", "error"):
                outcome, why = FAILED, child.get("message", "")
            elif child.tag == "skipped" and outcome == PASSED:
                outcome, why = SKIPPED, child.get("message", "")
        tests.append(Test(f"{case.get('classname')}.{case.get('name')}", outcome, why=" ".join(why.split())))
    return explained(tests, "pytest", done.returncode), done.stdout + done.stderr


def judged(name, suite, tests):
    """Names every test that did not pass, in words; whether all is as suites.toml has it."""
    known, good = suite.get("known", []), True

    def fail(text):
        nonlocal good
        good = False
        print(f"FAIL suite_{name} {text}", flush=True)

    for one in known:
        if not any(re.search(one["test"], test.name) for test in tests):
            fail(f"{one['test']} is in suites.toml and no test of that name ran")
    for test in sorted(tests, key=lambda t: t.name):
        cause = next((one for one in known if re.search(one["test"], test.name)), None)
        test.why = cause["why"] if cause else test.why
        if cause and cause["is"] == "empty" and test.outcome == PASSED:
            test.outcome = SKIPPED
        elif test.outcome == FAILED and cause and cause["is"] in (FAILED, "either"):
            print(f"RED  suite_{name} {test.name}: {test.why}", flush=True)
        elif test.outcome == FAILED:
            fail(f"{test.name}: {test.why[:300]}")
        elif cause and cause["is"] not in ("either", test.outcome):
            fail(f"{test.name} {test.outcome}: strike it from suites.toml")
    either = [one["test"] for one in known if one["is"] == "either"]
    sure = [test for test in tests if not test.unit and not any(re.search(one, test.name) for one in either)]
    if (passed := counted(sure)[PASSED]) != suite["passes"]:
        fail(f"{passed} tests of the broker passed, {suite['passes']} do in suites.toml")
    print(f"{'PASS' if good else 'FAIL'} suite_{name} {suite['version']}: {in_words(tests)}", flush=True)
    return good


def counted(tests):
    return {outcome: sum(test.outcome == outcome for test in tests) for outcome in (PASSED, FAILED, SKIPPED)}


def in_words(tests):
    counts, units = counted(tests), sum(test.unit for test in tests)
    of = f" ({units} of them are the client's alone)" if units else ""
    return ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) + of


def page(suites, told):
    """results.md."""
    day = datetime.date.today().isoformat()
    lines = [
        "# What came of three clients' own suites", "",
        f"Written by `run.py --write` on {day}; why a test does not pass stands in [suites.toml](suites.toml), or is what the",
        "suite itself says. Tests of the client alone, which need no broker, are counted apart.", "",
        "| suite | version | passed | failed | skipped | the client's alone |", "|---|---|---|---|---|---|",
    ]
    for name, tests in told.items():
        counts, units = counted([t for t in tests if not t.unit]), counted([t for t in tests if t.unit])
        row = [name, suites[name]["version"], *map(str, counts.values()), f"{units[PASSED]} passed" if sum(units.values()) else "–"]
        lines.append(f"| {' | '.join(row)} |")
    lines += ["", "| suite | test | is | why |", "|---|---|---|---|"]
    for name, tests in told.items():
        for test in sorted((t for t in tests if t.outcome != PASSED), key=lambda t: (t.outcome, t.name)):
            lines.append(f"| {name} | `{test.name}` | {test.outcome} | {test.why.replace('|', '/')} |")
    return "\n".join(lines) + "\n"


KINDS = {"cargo": (of_crate, by_cargo), "pytest": (of_package, by_pytest)}


def main():
    words = [word for word in sys.argv[1:] if word != "--write"]
    binary, scratch, built, *asked = words
    built, scratch = os.path.abspath(built), os.path.abspath(scratch)
    os.makedirs(built, exist_ok=True)
    os.makedirs(scratch, exist_ok=True)
    with open(os.path.join(HERE, "suites.toml"), "rb") as file:
        suites = tomllib.load(file)["suite"]
    if unknown := set(asked) - set(suites):
        return f"not in suites.toml: {', '.join(sorted(unknown))}"
    good, told = True, {}
    for name, suite in suites.items():
        if asked and name not in asked:
            continue
        began = time.monotonic()
        prepare, run = KINDS[suite["kind"]]
        try:
            prepared = prepare(name, suite, built)
        except (OSError, RuntimeError) as error:
            print(f"FAIL suite_{name} is not built: {error}", flush=True)
            good = False
            continue
        data = os.path.join(scratch, f"suite-{name}")
        shutil.rmtree(data, ignore_errors=True)
        broker = Broker(binary, data)
        if "port" in suite:
            broker.address = f"127.0.0.1:{suite['port']}"
        wanted = [setting.format(address=broker.address) for setting in suite["broker"]]
        broker.settings = ["group.initial.rebalance.delay.ms=100", *wanted]
        broker.start()
        try:
            environment = os.environ | {k: v.format(address=broker.address) for k, v in suite["environment"].items()}
            told[name], output = run(prepared, suite, environment)
            with open(os.path.join(scratch, f"suite-{name}.out"), "w") as file:
                file.write(output)
            good &= judged(name, suite, told[name])
            broker.stop()
        finally:
            if broker.alive():
                broker.kill()
        shutil.rmtree(data, ignore_errors=True)
        print(f"     {name} took {time.monotonic() - began:.0f} s", flush=True)
    if "--write" in sys.argv and set(told) == set(suites):
        with open(os.path.join(HERE, "results.md"), "w") as file:
            file.write(page(suites, told))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
