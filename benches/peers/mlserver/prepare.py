"""Writes what MLServer is started from: a copy of the checkpoint, and its settings files.

    python3 prepare.py models/bedside-minilm /tmp/work 8080 1
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from checkpoint import copy_checkpoint, write


def prepare(bundle: Path, work: Path, port: int, threads: int) -> None:
    copy_checkpoint(bundle, work / "checkpoint")
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        # Any that is free: the load comes over HTTP.
        "grpc_port": 0,
        "metrics_endpoint": None,
        "debug": False,
        # A worker is a process that runs one inference at a time.
        "parallel_workers": threads,
    }
    runtime = {"task": "text-classification", "framework": "pt", "device": "cpu", "intra_op_threads": 1}
    model = {
        "name": "bedside",
        "implementation": "mlserver_huggingface.HuggingFaceRuntime",
        "parameters": {"extra": runtime | {"pretrained_model": str(work / "checkpoint")}},
    }
    write(work / "settings.json", settings)
    write(work / "model-settings.json", model)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
