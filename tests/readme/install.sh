#!/usr/bin/env bash
# Puts what the README's clients need into the folder named: a Python environment and Node modules, as pinned beside
# this file. Does nothing when they are there.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=$1
pins=$(cat "$here/requirements.txt" "$here/package-lock.json" | sha256sum)
if [ -e "$folder/complete" ] && [ "$(cat "$folder/complete")" = "$pins" ]; then
    exit
fi

rm -rf "$folder"
mkdir -p "$folder"
python3 -m venv "$folder/python"
"$folder/python/bin/python3" -m pip install --quiet --disable-pip-version-check --only-binary=:all: \
    --requirement "$here/requirements.txt"
cp "$here/package.json" "$here/package-lock.json" "$folder"
npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent
# Last, so that an interrupted install is never taken for a finished one.
echo "$pins" >"$folder/complete"
