"""Descriptions of the drawings of Openclipart: Creative Commons Public Domain Dedication."""
import gzip, html, os, re, sys
from clean import good, sentences, write

out = []
for folder, _, files in sorted(os.walk(sys.argv[1])):
    for name in sorted(files):
        if not name.endswith((".svg", ".svgz", ".svg.gz")):
            continue
        data = open(os.path.join(folder, name), "rb").read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        m = re.search(r"<dc:description[^>]*>(.*?)</", data.decode("utf-8", "replace"), re.S)
        if m:
            text = re.sub(r"<[^>]*>", " ", html.unescape(html.unescape(m[1])))
            out += [s for s in sentences(text) if s[0].isupper() and s.isascii() and good(s, 3, 30, 1)]
write("drawings", out)
