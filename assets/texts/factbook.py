"""The World Factbook: backgrounds, economies and places. Public domain."""
import json, re, sys, tarfile
from clean import good, sentences, write


def texts(v):
    if isinstance(v, dict):
        for w in v.values():
            yield from texts(w)
    elif isinstance(v, list):
        for w in v:
            yield from texts(w)
    elif isinstance(v, str):
        yield v


out = []
t = tarfile.open(sys.argv[1])
for m in sorted((m for m in t.getmembers() if m.isfile() and m.name.endswith(".json")), key=lambda m: m.name):
    try:
        data = json.loads(t.extractfile(m).read().decode("utf-8"))
    except ValueError as e:
        sys.exit(f"{m.name}: {e}")
    for text in texts(data):
        # The Factbook writes family names in capitals. Make them common names again.
        text = re.sub(r"\b[A-Z][A-Z]{4,}\b", lambda w: w[0].capitalize(), text)
        out += [s for s in sentences(text) if s[0].isupper() and s[-1] in ".!?" and good(s, 5, 40, 2)]
write("factbook", out)
