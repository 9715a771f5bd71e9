"""Joins the labels of models/data/real with the public texts they are for: those are others' and are not committed.

    python models/training/real_texts.py --public FOLDER [--source SOURCE] --out FILE

writes all labelled real texts as records, for `bedside evaluate`. Each text has an id made of its source and its place
there, and is the same on every run: masks of the consumer complaints are filled with invented names chosen by the id.
"""

import argparse
import csv
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
LABELS = DATA / "real"
# Two readings, and what was settled on the test and dev sides where they differ.
READINGS = DATA / "readings" / "real.jsonl"

MAX_WORDS = 260
FILLERS = (
    "Northgate", "Halden", "Mercer Street", "Linden", "Corvane", "Aldbury", "Westlake", "Tamsin", "Orrin", "Brightwell",
    "Castor", "Fenwick", "Marlow", "Redfern", "Ashby", "Quillon",
)


def _unmasked(identifier: str, text: str) -> str:
    """The complaint with its masks (XXXX, XX/XX/2023) filled; equal masks in a row are one name."""
    seed = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:4], "big")
    count = 0

    def name(_: re.Match) -> str:
        nonlocal count
        count += 1
        return FILLERS[(seed + count * 7) % len(FILLERS)]

    text = re.sub(r"X{2}/X{2}/(X{2,4}|\d{2,4}|year>)", lambda m: f"{seed % 12 + 1:02d}/{seed % 27 + 1:02d}/2023", text)
    return re.sub(r"X{2,}(?:[ -]X{2,})*", name, text)


def real_texts(data: Path) -> dict[str, tuple[str, str, str]]:
    """Id to (source, channel, text) for every usable text below the folder of public data."""
    found: dict[str, tuple[str, str, str]] = {}

    def add(identifier: str, source: str, channel: str, text: str) -> None:
        text = text.strip()
        if text and len(text.split()) <= MAX_WORDS:
            found[identifier] = (source, channel, text)

    with (data / "banking77" / "train.csv").open(newline="", encoding="utf-8") as rows:
        for number, row in enumerate(csv.DictReader(rows)):
            add(f"banking77/{number}", "banking77", "chat", row["text"])
    with (data / "cfpb" / "narratives.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            identifier = f"cfpb/{number}"
            add(identifier, "cfpb", "web_form", _unmasked(identifier, json.loads(line)["text"]))
    with (data / "github_incivility" / "annotated_comment_level.csv").open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            add(f"github_incivility/{row['id']}", "github_incivility", "web_form", row["comment_body"])
    for number, message in enumerate(json.loads((data / "premo" / "dataset.json").read_text(encoding="utf-8"))):
        add(f"premo/{number}", "premo", "chat", message["raw_message"])
    with (data / "unlabelled" / "texts.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            record = json.loads(line)
            source = record["source"]
            add(f"{source}/{number}", source, "chat" if source == "multidogo" else "web_form", record["text"])
    return found


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line that is not blank, with file and line number. Only a line feed ends a line, as JSON Lines has it."""
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{path}:{number}", line


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def real_records(public: Path) -> Iterator[tuple[str, dict]]:
    """All labelled real texts below the folder of public data, those that came with labels and those labelled here, each
    with its file and line."""
    settled = {}
    for _, line in numbered_lines(READINGS):
        record = json.loads(line)
        settled[record["id"]] = record.get("settled", {})
    for path in sorted((public / "labelled_real").glob("*.jsonl")):
        for place, line in numbered_lines(path):
            record = json.loads(line)
            yield place, record | settled.get(record["id"], {})
    texts = real_texts(public)
    for path in sorted(LABELS.glob("*.jsonl")):
        for place, line in numbered_lines(path):
            labels = json.loads(line)
            source, channel, text = texts.get(labels["id"], ("", "", ""))
            if text_hash(text) != labels.pop("text_sha256"):
                raise SystemExit(f"{place}: the text of {labels['id']} is missing or not the one that was labelled")
            yield place, {"text": text, "channel": channel, "source": source, **labels, **settled.get(labels["id"], {})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--public", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--source", help="only the texts of this source")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()
    records = (record for _, record in real_records(arguments.public))
    wanted = (record for record in records if arguments.source in (None, record["source"]))
    lines = [json.dumps(record, ensure_ascii=False) for record in wanted]
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
