"""Counts the instructions of each step of benches/hot_path.rs and prints them beside the committed baseline.

    python benches/instructions.py PROGRAM [--write]

PROGRAM is the built benchmark. Runs it once under callgrind (Debian: valgrind) and reads off what each function of its
module `step` cost, everything it called included. Counts do not depend on how busy a machine is, so a change of a few per
cent is a change of the code; it is reported, not failed. A call's work on other threads is not part of it.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

BASELINE = Path(__file__).with_name("instructions.txt")
CALLS = 20
# Below that, a difference is as good as none: hash seeds and addresses move a little.
NOISE = 0.02


def count(program: str) -> dict[str, int]:
    """Instructions of one call of each step."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", program]
        command += ["--sample-count", "1", "--sample-size", str(CALLS)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return inclusive(out.read_text())


def inclusive(profile: str) -> dict[str, int]:
    """What calls of `step`'s functions cost together, by the number of those calls."""
    names, costs, calls = {}, defaultdict(int), defaultdict(int)
    called = None
    lines = iter(profile.splitlines())
    for line in lines:
        if found := re.match(r"c?fn=\((\d+)\)(?: (.+))?", line):
            number, name = found.groups()
            if name:
                names[number] = name
            if line.startswith("cfn="):
                called = names[number]
        elif line.startswith("calls=") and called:
            cost = int(next(lines).split()[1])
            if step := re.fullmatch(r"hot_path::step::(\w+)", called):
                costs[step[1]] += cost
                calls[step[1]] += int(line.removeprefix("calls=").split()[0])
    return {step: costs[step] // calls[step] for step in sorted(costs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--write", action="store_true", help="make these counts the baseline")
    arguments = parser.parse_args()
    counts = count(arguments.program)
    if not counts:
        sys.exit("callgrind saw none of the steps")
    if arguments.write:
        BASELINE.write_text("".join(f"{step} {number}\n" for step, number in counts.items()))
    baseline = dict(line.split() for line in BASELINE.read_text().splitlines())
    print(f"{'instructions a call':20} {'now':>12} {'baseline':>12}")
    for step, number in counts.items():
        before = int(baseline.get(step, 0))
        change = number / before - 1 if before else 0.0
        note = "" if abs(change) < NOISE else f"  {change:+.1%}"
        print(f"{step:20} {number:12,} {before:12,}{note}")


if __name__ == "__main__":
    main()
