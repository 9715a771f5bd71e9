#!/usr/bin/env python3
"""Writes the answer that the README shows anew, after the model, the rules or the cues have changed:

    sed -n 's/^> //p' README.md | bedside classify --precision f32 | python3 tests/readme/answer.py
"""

import json
import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
WIDTH = 118


def laid_out(value, indent: int = 0, before: int = 0) -> str:
    """The value on one line where it fits behind `before` characters, else its parts below each other."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or indent + before + len(line) <= WIDTH:
        return line
    items = [(f"{json.dumps(name)}: ", part) for name, part in value.items()] if isinstance(value, dict) else [("", part) for part in value]
    parts = [" " * (indent + 2) + name + laid_out(part, indent + 2, len(name)) for name, part in items]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(parts) + f"\n{' ' * indent}{closing}"


answer = json.load(sys.stdin)
del answer["cues"][1:]
text = README.read_text()
text, count = re.subn(
    r"(<!-- test: answer -->\n```json\n).*?\n(```)", lambda found: f"{found[1]}{laid_out(answer)}\n{found[2]}", text, flags=re.DOTALL
)
assert count == 1, count
README.write_text(text)
