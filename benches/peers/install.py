"""Installs a peer's pinned packages into the user's cache, unless they are there, and prints the environment's folder.

    python3 install.py transformers
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def environment(name: str) -> Path:
    """The folder of the environment of peer `name`, named by its pins; it exists once it was installed."""
    pins = (HERE / name / "requirements.txt").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "bedside" / "peers" / f"{name}-{hashlib.sha256(pins).hexdigest()[:12]}"


def install(name: str) -> Path:
    """Makes the environment of peer `name` if it is not complete; answers with its folder."""
    folder = environment(name)
    complete = folder / "complete"
    if complete.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    # The list of pins is the whole environment, so nothing is left to resolve.
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--only-binary=:all:", "--no-deps", "--requirement", HERE / name / "requirements.txt"]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    # Last, so that an interrupted install is never taken for a finished one.
    complete.touch()
    return folder


if __name__ == "__main__":
    print(install(sys.argv[1]))
