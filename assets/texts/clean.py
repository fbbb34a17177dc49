"""Splits texts into sentences and keeps the clean ones: 3 to 40 words, English letters, no markup, no duplicates.

Sentences go to $OUT/NAME.txt, one per line.
"""
import os
import re
import unicodedata

ABBR = {"mr", "mrs", "ms", "dr", "st", "sr", "jr", "prof", "gen", "gov", "sen", "rep", "rev", "hon", "col", "capt", "lt", "sgt", "no", "nos",
        "vs", "etc", "e.g", "i.e", "cf", "ca", "c", "fig", "vol", "pp", "ed", "eds", "inc", "ltd", "co", "corp", "u.s", "u.k", "u.n", "u.s.s.r",
        "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sept", "sep", "oct", "nov", "dec", "messrs", "mt", "ft", "approx", "est", "d.c"}
SMALL = {"the", "a", "an", "is", "are", "was", "were", "of", "to", "in", "and", "for", "on", "with", "at", "by", "it", "you", "i", "he", "she",
         "they", "we", "that", "this", "be", "has", "have", "had", "not", "do", "does", "did", "from", "as", "or", "can", "will", "what", "how",
         "why", "who", "my", "your", "his", "her", "their", "our", "its", "there", "when", "where", "which", "if", "but", "about"}
QUOTES = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u2026": "...", "\u00a0": " ", "\u2212": "-"}


def plain(text):
    """Gives the text with plain quotes, dashes and single spaces."""
    text = unicodedata.normalize("NFC", text)
    for old, new in QUOTES.items():
        text = text.replace(old, new)
    return re.sub(r"\s+", " ", text).strip()


def sentences(text):
    """Splits a paragraph after '.', '!' and '?', but not after an abbreviation or an initial."""
    text = plain(text)
    start = 0
    for m in re.finditer(r"[.!?]+[\"')\]]*\s+(?=[\"'(]?[A-Z0-9])", text):
        before = text[start:m.start()].rsplit(" ", 1)[-1].lstrip("\"'([").lower()
        if text[m.start()] == "." and (before in ABBR or re.fullmatch(r"[a-z]|([a-z]\.)+[a-z]", before)):
            continue
        yield text[start:m.end()].strip()
        start = m.end()
    if text[start:].strip():
        yield text[start:].strip()


def good(s, least=3, most=40, small=1):
    """Tells whether a sentence is clean: its length, its letters, its words."""
    words = s.split(" ")
    if not least <= len(words) <= most or len(s) > 300:
        return False
    if re.search(r"[<>{}\[\]|\\=_~^#*@\u0100-\uffff]|https?:|www\.|\.\.\.|--|\(\)|\( |''|``|,,|;;|&[a-z]+;| [.,;:]", s):
        return False
    if s.count('"') % 2 or s.count("(") != s.count(")"):
        return False
    letters = sum(c.isalpha() for c in s)
    if letters < 0.7 * len(s) or sum(c.isupper() for c in s) > 0.3 * letters:
        return False
    low = [w.strip(".,;:!?\"'()").lower() for w in words]
    return len(SMALL & set(low)) >= small


def write(name, lines):
    """Writes the lines without duplicates (case and closing marks do not count), in their order."""
    # Sentences that also stand in the pairs on which the model is measured.
    seen = set(open(os.path.join(os.path.dirname(__file__), "left-out.txt"), encoding="utf-8").read().split("\n"))
    kept = []
    for s in lines:
        key = re.sub(r"[^a-z0-9]+", " ", s.lower()).strip()
        if key and key not in seen:
            seen.add(key)
            kept.append(s)
    path = os.path.join(os.environ["OUT"], name + ".txt")
    with open(path + ".part", "w", encoding="utf-8", newline="\n") as f:
        f.writelines(s + "\n" for s in kept)
    os.replace(path + ".part", path)
    print(f"{name}: {len(kept)} sentences")
