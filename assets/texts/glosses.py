"""Glosses and examples of WordNet 3.0, which its licence lets anybody use, change and distribute."""
import re, sys
from clean import write

out = set()
for name in ("adj", "adv", "noun", "verb"):
    for line in open(f"{sys.argv[1]}/usr/share/wordnet/data.{name}", encoding="utf-8"):
        _, bar, gloss = line.partition(" | ")
        if bar and line[0].isdigit():
            out |= {part.strip(' "\n') for part in gloss.split(";")}
write("glosses", sorted(part for part in out if len(part) >= 12))
