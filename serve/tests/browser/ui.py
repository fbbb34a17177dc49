#!/usr/bin/env python3
"""Runs the page /ui in a real browser, and compares what it shows with what the server answers.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/playwright install chromium
    venv/bin/python ui.py --lacuna ../../../target/debug/lacuna [--browser /usr/bin/chromium]

Without --browser it takes the one of playwright, or a chromium or chrome in the path. It ends with 0 and says why if there is none.
"""

import argparse
import contextlib
import json
import math
import pathlib
import shutil
import tempfile

from servers import Server

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
HEADS = REPOSITORY / "tests/golden/heads"
XSS = "<img src=x onerror=hacked=1>&lt;"
SCRIPT = "<script>hacked=1</script>"
# Code points of two UTF-16 units, a sequence of several code points, and accents.
EMOJI = "😀𝒳 Zoë met Émile in Paris 🐈\u200d⬛, by the old river. "
KEY = "a key of the test"


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(found, expected, what):
    check(found == expected, f"{what}: found {found!r}; expected {expected!r}")


class Watch:
    """Requests of a page, and what its console says."""

    def __init__(self, page, url):
        self.page, self.url = page, url
        self.foreign, self.errors = [], []
        page.on("request", lambda request: self.see(request.url))
        page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        page.on("console", lambda message: message.type in ("error", "warning") and self.errors.append(message.text))

    def see(self, address):
        if not address.startswith((self.url + "/", "data:,")):
            self.foreign.append(address)

    def refused(self, status):
        """A browser reports every answer that is an error. Takes exactly those that the test has caused."""
        self.page.wait_for_timeout(100)
        check(self.errors, f"the console has no error about status {status}")
        check(all(f"status of {status}" in error for error in self.errors), f"the console says {self.errors}")
        self.errors.clear()

    def clean(self):
        equal(self.foreign, [], "requests to other hosts")
        equal(self.errors, [], "errors on the console")


def open_page(context, server):
    page = context.new_page()
    watch = Watch(page, server.url)
    page.goto(server.url + "/ui")
    page.locator("#server:has-text('Version'), #problem:visible").wait_for()
    return page, watch


def run(page, task, **fields):
    """Types, runs, waits. The panel, with a result or an error."""
    page.locator(f"#{task}-tab").click()
    for name, text in fields.items():
        page.locator(f"#{task}-{name}").fill(text)
    panel = page.locator(f"#{task}-panel")
    panel.get_by_role("button", name="Run").click()
    panel.locator("> [role=status]:has-text('Done'), > [role=alert]:visible").wait_for()
    return panel


def done(page, task, **fields):
    panel = run(page, task, **fields)
    problem = panel.locator("> [role=alert]")
    check(not problem.is_visible(), f"{task}: the page shows {problem.text_content()!r}")
    equal(panel.locator("dt").first.text_content(), "round trip", "the first timing")
    return panel


def marks(panel):
    """For every mark the text before it and its own, as the page has them."""
    return panel.evaluate("""panel => [...panel.querySelectorAll(".result > .text mark")].map(mark => {
        const before = document.createRange();
        before.setStart(mark.parentNode, 0);
        before.setEndBefore(mark);
        return [before.toString(), mark.textContent];
    })""")


def tabs(page, server):
    titles = page.get_by_role("tab").all_text_contents()
    equal(titles, ["Similarity", "Classification", "Re-ranking", "Tagging", "Question answering", "Filling in masks"], "tabs")
    equal(page.locator("[role=tabpanel]:visible").count(), 1, "panels that are shown")


def similarity(page, server):
    texts = ["A cat sits.", "A kitten sat.", "Prices fell 😀."]
    panel = done(page, "similarity", sentences="\n".join(texts))
    rows = panel.locator(".heat tbody tr")
    cells = [rows.nth(row).locator("td").all_text_contents() for row in range(rows.count())]
    vectors = [one["embedding"] for one in server.post("/v1/embeddings", {"input": texts, "model": "minilm"})["data"]]
    norm = lambda vector: math.sqrt(sum(x * x for x in vector))
    cosine = lambda a, b: sum(x * y for x, y in zip(a, b)) / norm(a) / norm(b)
    equal([len(row) for row in cells], [3, 3, 3], "cells of the heat map")
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            check(abs(float(cell) - cosine(vectors[i], vectors[j])) < 0.0006, f"cell {i}, {j} is {cell}")
    shades = {rows.nth(0).locator("td").nth(i).evaluate("cell => getComputedStyle(cell).backgroundColor") for i in range(3)}
    equal(len(shades), 3, "shades of three different values")
    timings = dict(zip(panel.locator("dt").all_text_contents(), panel.locator("dd").all_text_contents()))
    for name in ("round trip", "server, in all", "in the queue", "tokenizing", "inference"):
        check(timings[name].endswith(" ms"), f"{name} is {timings[name]}")
    equal(timings["tokens"], str(len(sum(server.post("/tokenize", {"inputs": texts}), []))), "tokens")


def many_sentences(page, server):
    panel = run(page, "similarity", sentences="a\n" * 41)
    equal(panel.locator("> [role=alert]").text_content(), "Found 41 sentences. The page shows at most 40.", "error")


def tokens(page, server):
    panel = done(page, "similarity", sentences=EMOJI)
    panel.locator("summary", has_text="Tokens").click()
    panel.locator(".tokens li").first.wait_for()
    expected = server.post("/tokenize", {"inputs": [EMOJI]})[0]
    shown = panel.locator(".tokens li").all_text_contents()
    equal(shown, [(token["text"] or "\u00a0") + str(token["id"]) for token in expected], "tokens")
    panel = done(page, "tag", text=EMOJI)
    panel.locator("summary", has_text="Tokens").click()
    check("first model only, which is minilm" in panel.locator(".token-lists").text_content(), "a note on the other models")


def classify(page, server):
    for pair in ("", "On the mat."):
        panel = done(page, "classify", text="The cat sat.", pair=pair)
        rows = panel.locator(".scored").evaluate_all("rows => rows.map(row => [row.cells[0].textContent, row.cells[1].textContent])")
        inputs = {"text": "The cat sat.", "text_pair": pair} if pair else "The cat sat."
        expected = server.post("/models/b%20%3Ci%3E", {"inputs": inputs})[0]
        equal(rows, [[label["label"], f"{label['score']:.4f}"] for label in expected], "labels")
        check("<b onmouseover=hacked()>" in [row[0] for row in rows], "a label is shown as it is")


def rerank(page, server):
    query, texts = "cat", ["The dog ran.", "The cat sat 😀.", "By the river."]
    panel = done(page, "rerank", query=query, documents="\n".join(texts))
    expected = server.post("/models/bert-rank", {"query": query, "texts": texts})
    shown = panel.locator(".ranks li").all_text_contents()
    equal(shown, [f"{rank['score']:.4f} {texts[rank['index']]}" for rank in expected], "texts in their order")


def tag(page, server):
    text = EMOJI * 3
    panel = done(page, "tag", text=text)
    expected = server.post("/models/bert-tag", {"inputs": text})
    check(len(expected) > 3, f"the model finds {len(expected)} entities; the test needs some")
    equal(marks(panel), [[text[: found["start"]], text[found["start"] : found["end"]]] for found in expected], "marks")
    equal([mark for _, mark in marks(panel)], [found["word"] for found in expected], "words")
    equal(panel.locator(".result > .text").text_content(), text, "the text with marks")
    labels = [found["entity_group"] for found in expected]
    equal(panel.locator(".result mark").evaluate_all("all => all.map(mark => mark.dataset.label)"), labels, "labels of marks")
    equal(panel.locator(".legend li").all_text_contents(), list(dict.fromkeys(labels)), "the legend")
    equal(panel.locator(".entity").count(), len(expected), "rows of the table")
    colours = "all => new Set(all.map(one => getComputedStyle(one).backgroundColor)).size"
    equal(panel.locator(".result mark").evaluate_all(colours), len(set(labels)), "colours of marks")


def answer(page, server):
    inputs = {"question": "Who met Émile?", "context": EMOJI}
    panel = done(page, "answer", **inputs)
    expected = server.post("/models/bert-answer", {"inputs": inputs, "parameters": {"top_k": 3}})
    best = expected[0]
    equal(marks(panel), [[EMOJI[: best["start"]], best["answer"]]], "the mark")
    equal(panel.locator(".result > .text").text_content(), EMOJI, "the context")
    equal(panel.locator(".scored th").all_text_contents(), [one["answer"] for one in expected], "answers")


def fill(page, server):
    for model, mask in (("bert-fill", "[MASK]"), ("roberta-fill", "<mask>")):
        page.locator("#fill-tab").click()
        page.locator("#fill-model").select_option(model)
        if model == "bert-fill":
            equal(page.locator("#fill-text").input_value(), "The capital of France is [MASK].", "the example")
        for count in (1, 2):
            text = f"The {mask} sat on the mat. " * count
            panel = done(page, "fill", text=text)
            expected = server.post(f"/models/{model}", {"inputs": text})
            expected = sum(expected, []) if count == 2 else expected
            rows = panel.locator(".scored").evaluate_all("rows => rows.map(row => [0, 1, 2].map(i => row.cells[i].textContent))")
            equal(rows, [[one["token_str"], f"{one['score']:.4f}", one["sequence"]] for one in expected], "candidates")
            equal(panel.locator(".result table").count(), count, "tables")


def example_follows_the_model(page, server):
    page.reload()
    page.locator("#fill-tab").click()
    page.locator("#fill-model").select_option("roberta-fill")
    equal(page.locator("#fill-text").input_value(), "The capital of France is <mask>.", "the example of the other model")
    page.locator("#fill-text").fill("mine")
    page.locator("#fill-model").select_option("bert-fill")
    equal(page.locator("#fill-text").input_value(), "mine", "a text that a person typed")


def texts_stay_texts(page, server):
    for task, fields in {
        "similarity": {"sentences": f"{XSS}\n{SCRIPT}"}, "classify": {"text": XSS}, "rerank": {"query": "cat", "documents": XSS},
        "tag": {"text": XSS}, "answer": {"question": "Who?", "context": XSS},
    }.items():
        panel = done(page, task, **fields)
        if task != "classify":
            check(XSS in panel.locator(".result").text_content(), f"{task}: the text is shown as it is")
    equal(page.evaluate("[window.hacked, document.images.length, document.scripts.length]"), [None, 0, 1], "scripts and images")
    check(page.evaluate("getComputedStyle(document.querySelector('#classify-panel p')).fontStyle") == "normal", "a name is no HTML")


def keyboard(page, server):
    page.locator("#similarity-tab").focus()
    for key, expected in [("ArrowRight", "classify"), ("End", "fill"), ("ArrowRight", "similarity"), ("ArrowLeft", "fill"), ("Home", "similarity")]:
        page.keyboard.press(key)
        equal(page.evaluate("document.activeElement.id"), f"{expected}-tab", f"focus after {key}")
        check(page.locator(f"#{expected}-panel").is_visible(), f"the panel of {expected}")
    for expected in ("similarity-panel", "similarity-model", "similarity-sentences", "similarity-run"):
        page.keyboard.press("Tab")
        equal(page.evaluate("document.activeElement.id"), expected, "focus after Tab")
    page.keyboard.press("Enter")
    page.locator("#similarity-panel > [role=status]:has-text('Done')").wait_for()


def errors_are_shown(page, watch):
    for task, fields, status, expected in [
        ("fill", {"text": "no mask"}, 422, "mask"), ("similarity", {"sentences": ""}, 400, "empty"), ("classify", {"text": "cat " * 500}, 413, "tokens"),
    ]:
        problem = run(page, task, **fields).locator("> [role=alert]")
        text = problem.text_content()
        check(problem.is_visible() and text.startswith(f"{status}: ") and expected in text, f"{task}: the page shows {text!r}")
        watch.refused(status)


def keys(browser, lacuna, models):
    with Server(lacuna, models[:1], KEY) as server, contextlib.closing(browser.new_context()) as context:
        page, watch = open_page(context, server)
        connect = lambda key: (page.locator("#key").fill(key), page.get_by_role("button", name="Connect").click())
        problem = page.locator("#problem")
        check(problem.is_visible() and problem.text_content().startswith("401: "), f"without a key: {problem.text_content()!r}")
        watch.refused(401)
        connect("wrong")
        problem.filter(has_text="401: ").wait_for()
        equal(page.get_by_role("tab").count(), 0, "tabs with a wrong key")
        watch.refused(401)
        connect(KEY)
        page.locator("#similarity-tab").wait_for()
        check(problem.is_hidden(), "the error has gone")
        done(page, "similarity", sentences="a\nb")
        equal(page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]"), [0, 0, ""], "what the page stores")
        watch.clean()


def policy(context, server):
    """The policy is in force: a browser refuses what the page must not do."""
    page = context.new_page()
    page.goto(server.url + "/ui")
    page.evaluate("window.refused = []; addEventListener('securitypolicyviolation', event => refused.push(event.effectiveDirective))")
    for action, directive in [
        ("() => { document.body.innerHTML = '<b>x</b>' }", "require-trusted-types-for"),
        ("() => fetch('http://localhost:1/')", "connect-src"),
        ("() => { document.body.append(Object.assign(document.createElement('img'), { src: 'http://localhost:1/x.png' })) }", "img-src"),
        ("() => { document.body.append(Object.assign(document.createElement('style'), { textContent: 'p { color: red }' })) }", "style-src-elem"),
        ("() => { document.body.setAttribute('onclick', '1') }", "require-trusted-types-for"),
    ]:
        page.evaluate(f"async () => {{ refused.length = 0; try {{ await ({action})() }} catch {{}} }}")
        page.wait_for_timeout(100)
        equal(page.evaluate("refused"), [directive], f"what the browser refuses of {action}")


def accessible(browser, server):
    """The rules of axe, contrast among them, in both colour schemes, with results in every panel."""
    from axe_playwright_python.sync_playwright import Axe

    backgrounds = set()
    for scheme in ("light", "dark"):
        # The rules come as a script, which the policy of the page refuses.
        with contextlib.closing(browser.new_context(bypass_csp=True, color_scheme=scheme)) as context:
            page, _ = open_page(context, server)
            backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            for task, fields in {"similarity": {}, "classify": {}, "rerank": {}, "tag": {"text": EMOJI}, "answer": {"context": EMOJI}, "fill": {}}.items():
                panel = done(page, task, **fields)
                panel.locator("summary", has_text="Tokens").click()
                found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
                told = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]
                equal(told, [], f"what axe finds in {task}, {scheme}")
    equal(len(backgrounds), 2, "backgrounds of the two colour schemes")


def browser_of(playwright, asked):
    """A browser, or why there is none."""
    found = [asked] if asked else [None, *filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))]
    reasons = []
    for path in found:
        try:
            return playwright.chromium.launch(executable_path=path), None
        except Exception as error:  # playwright has one type of error for all
            reasons.append(f"{path or 'the browser of playwright'}: {str(error).strip().splitlines()[0]}")
    return None, "; ".join(reasons)


def hostile(folder):
    """A copy of a classifier with a label that is HTML."""
    copy = pathlib.Path(folder) / "hostile"
    shutil.copytree(HEADS / "bert-classify", copy)
    config = json.loads((copy / "config.json").read_text())
    config["id2label"]["1"] = "<b onmouseover=hacked()>"
    config["label2id"] = {label: int(index) for index, label in config["id2label"].items()}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lacuna", required=True, help="the built command")
    parser.add_argument("--browser", help="a chromium")
    options = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        print(f"skipped: {error}; see requirements.txt")
        return
    with contextlib.ExitStack() as stack:
        browser, reason = browser_of(stack.enter_context(sync_playwright()), options.browser)
        if not browser:
            print(f"skipped: no browser: {reason}")
            return
        stack.callback(browser.close)
        models = [("minilm", REPOSITORY / "assets/minilm-80.lacuna"), ("b <i>", hostile(stack.enter_context(tempfile.TemporaryDirectory())))]
        models += [(name, HEADS / name) for name in ("bert-rank", "bert-tag", "bert-answer", "bert-fill", "roberta-fill")]
        server = stack.enter_context(Server(options.lacuna, models))
        context = stack.enter_context(contextlib.closing(browser.new_context()))
        page, watch = open_page(context, server)
        print(f"browser {browser.version}")
        for test in (tabs, similarity, many_sentences, tokens, classify, rerank, tag, answer, fill, example_follows_the_model, texts_stay_texts, keyboard):
            test(page, server)
            watch.clean()
            print(f"passed: {test.__name__}")
        for name, test in {
            "errors_are_shown": lambda: errors_are_shown(page, watch), "keys": lambda: keys(browser, options.lacuna, models),
            "policy": lambda: policy(context, server), "accessible": lambda: accessible(browser, server),
        }.items():
            test()
            print(f"passed: {name}")
        watch.clean()


if __name__ == "__main__":
    main()
