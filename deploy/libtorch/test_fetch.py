"""What fetch.py promises, tried with a small archive and a pip that is not there; no network is touched."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

FETCH = Path(__file__).resolve().with_name("fetch.py")
HEADER = "include/torch/csrc/api/include/torch/torch.h"
ARCHIVE = {
    f"libtorch/{HEADER}": "// a header",
    "libtorch/lib/libtorch.so": "torch",
    "libtorch/lib/libtorch_cpu.so": "torch_cpu",
    "libtorch/lib/libc10.so": "c10",
    "libtorch/lib/libgomp-98b21ff3.so.1": "gomp",
    "libtorch/lib/libtorch_python.so": "not wanted",
    "libtorch/lib/libdnnl.a": "not wanted",
    "libtorch/build-version": "2.4.0+cpu",
}


@unittest.skipUnless(os.uname().machine == "x86_64", "only x86_64 has an archive")
class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.cache = self.folder / "cache/bedside/libtorch"
        self.installed = self.cache / "2.4.0-cpu-x86_64"
        # A `pip` that fails stands before the real one, should the archive be refused.
        (self.folder / "path").mkdir()
        (self.folder / "path/pip.py").write_text("raise SystemExit('no pip here')")

    def archive(self, members):
        path = self.folder / "libtorch.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, contents in members.items():
                archive.writestr(name, contents)
        return path.as_uri()

    def start(self, *arguments, **environment):
        fixed = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.folder / "path"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "LIBTORCH_ZIP_URL": "file:///nowhere/libtorch.zip",
        }
        return subprocess.Popen(
            [sys.executable, FETCH, *arguments],
            env=fixed | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_fetch(self, *arguments, **environment):
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def test_keeps_a_given_libtorch(self):
        code, out, _ = self.run_fetch(LIBTORCH="/opt/lib torch", LIBTORCH_CXX11_ABI="0")
        self.assertEqual(code, 0)
        self.assertEqual(out, "export LIBTORCH='/opt/lib torch'\nexport LIBTORCH_CXX11_ABI=0\n")
        self.assertFalse(self.cache.exists())

    def test_takes_what_is_linked_from_the_archive(self):
        code, out, err = self.run_fetch(LIBTORCH_ZIP_URL=self.archive(ARCHIVE))
        self.assertEqual(code, 0, err)
        self.assertIn(f"export LIBTORCH={self.installed}\n", out)
        self.assertIn("export LIBTORCH_CXX11_ABI=1\n", out)
        libraries = {file.name for file in (self.installed / "lib").iterdir()}
        self.assertEqual(libraries, {"libtorch.so", "libtorch_cpu.so", "libc10.so", "libgomp-98b21ff3.so.1"})
        self.assertTrue((self.installed / HEADER).is_file())
        self.assertEqual({entry.name for entry in self.cache.iterdir()}, {".lock", "2.4.0-cpu-x86_64"})

    def test_uses_the_cached_copy_without_asking_again(self):
        first = self.run_fetch(LIBTORCH_ZIP_URL=self.archive(ARCHIVE))
        second = self.run_fetch("--verify")
        self.assertEqual(second, (0, first[1], ""))

    def test_an_unfinished_copy_is_fetched_again(self):
        url = self.archive(ARCHIVE)
        self.run_fetch(LIBTORCH_ZIP_URL=url)
        (self.installed / "manifest.json").unlink()
        code, _, err = self.run_fetch(LIBTORCH_ZIP_URL=url)
        self.assertEqual(code, 0)
        self.assertIn("is not used: it was never finished", err)

    def test_a_truncated_library_is_noticed(self):
        self.run_fetch(LIBTORCH_ZIP_URL=self.archive(ARCHIVE))
        (self.installed / "lib/libc10.so").write_text("c")
        code, _, err = self.run_fetch()
        self.assertEqual(code, 1)
        self.assertIn("lib/libc10.so has another size", err)

    def test_a_changed_library_is_noticed_by_verify(self):
        self.run_fetch(LIBTORCH_ZIP_URL=self.archive(ARCHIVE))
        (self.installed / "lib/libc10.so").write_text("x10")
        self.assertEqual(self.run_fetch()[0], 0)
        code, _, err = self.run_fetch("--verify")
        self.assertEqual(code, 1)
        self.assertIn("lib/libc10.so has other contents", err)

    def test_refuses_another_sum(self):
        code, _, err = self.run_fetch(LIBTORCH_ZIP_URL=self.archive(ARCHIVE), LIBTORCH_ZIP_SHA256="00")
        self.assertEqual(code, 1)
        self.assertIn("served something else than LIBTORCH_ZIP_SHA256 says", err)
        self.assertIn("has no pip", err)

    def test_refuses_paths_that_lead_out(self):
        code, _, err = self.run_fetch(LIBTORCH_ZIP_URL=self.archive(ARCHIVE | {"libtorch/include/../../x": ""}))
        self.assertEqual(code, 1)
        self.assertIn("a path that leads out of it", err)

    def test_refuses_an_archive_without_the_libraries(self):
        code, _, err = self.run_fetch(LIBTORCH_ZIP_URL=self.archive({f"libtorch/{HEADER}": ""}))
        self.assertEqual(code, 1)
        self.assertIn("what was fetched has no lib/libtorch_cpu.so", err)

    def test_refuses_what_is_no_archive(self):
        path = self.folder / "page.html"
        path.write_text("<html>please log in</html>")
        code, _, err = self.run_fetch(LIBTORCH_ZIP_URL=path.as_uri())
        self.assertEqual(code, 1)
        self.assertIn("served no usable archive", err)

    def test_several_at_once_fetch_once(self):
        url = self.archive(ARCHIVE)
        processes = [self.start(LIBTORCH_ZIP_URL=url) for _ in range(4)]
        results = [process.communicate(timeout=60) for process in processes]
        self.assertEqual({process.returncode for process in processes}, {0})
        self.assertEqual(len({out for out, _ in results}), 1)
        self.assertEqual(sum("ready in" in err for _, err in results), 1)
        self.assertIn("cxx11_abi", json.loads((self.installed / "manifest.json").read_text()))


if __name__ == "__main__":
    unittest.main()
