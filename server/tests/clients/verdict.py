"""What a check comes to: one line on standard output, and whether it passed."""

import time


def check(name, run, seed):
    began = time.monotonic()
    try:
        run()
        print(f"PASS {name} ({time.monotonic() - began:.0f} s)", flush=True)
        return True
    except Exception as error:  # each check speaks for itself
        print(f"FAIL {name}: {type(error).__name__} {error} (seed {seed})", flush=True)
        return False
