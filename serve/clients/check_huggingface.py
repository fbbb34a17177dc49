"""`InferenceClient` of the package `huggingface_hub`: six tasks. Expected values are those of the commands `lacuna embed`, `classify`, ..."""

import asyncio
import math

import numpy as np
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from harness import TEXTS, Checks, raises, same, same_bits
from lacuna import HEADS, SHIPPED, embed, head_server, lines, shared_server

checks = Checks("huggingface_hub")
SENTENCE = "Zoë met Émile in Paris, by the old river."


def client(model):
    """A client whose model is a URL, as for an inference endpoint of one's own."""
    return InferenceClient(model=f"{shared_server().url}/models/{model}", token="secret")


def expected(command, text, *options):
    """What a command says of one text."""
    return lines(command, "--quiet", "--model", HEADS / f"bert-{command}", *options, text=text)[0]


@checks
def feature_extraction():
    # Without `normalize` this route has vectors of length 1: the shipped model's own have that length already.
    for text, vector in zip(TEXTS, embed(TEXTS)):
        same_bits(client(SHIPPED).feature_extraction(text)[0], vector)


@checks
def feature_extraction_without_normalization():
    # The server sums the hidden states in another order than the kernels, so that the last bits differ.
    found = np.asarray(client(SHIPPED).feature_extraction(TEXTS, normalize=False), np.float32)
    np.testing.assert_allclose(found, embed(TEXTS, "--no-normalize"), rtol=0, atol=2e-6)


@checks
def feature_extraction_at_the_root():
    root = InferenceClient(base_url=shared_server().url, token="secret")
    same_bits(root.feature_extraction(TEXTS[0])[0], embed(TEXTS)[0])


@checks
def feature_extraction_truncates_where_asked():
    long = "word " * 600
    error = raises(HfHubHTTPError, client(SHIPPED).feature_extraction, long)
    same(error.response.status_code, 413)
    vector = client(SHIPPED).feature_extraction(long, truncate=True, truncation_direction="right")[0]
    same_bits(vector, embed([long])[0])


@checks
def async_feature_extraction():
    async def ask():
        async with AsyncInferenceClient(model=f"{shared_server().url}/models/{SHIPPED}", token="secret") as asking:
            return await asyncio.gather(*[asking.feature_extraction(text) for text in TEXTS * 5])

    same_bits([found[0] for found in asyncio.run(ask())], np.tile(embed(TEXTS), (5, 1)))


@checks
def sentence_similarity():
    found = client(SHIPPED).sentence_similarity(TEXTS[0], other_sentences=TEXTS[2:])
    vectors = embed(TEXTS).astype(np.float64)
    cosines = vectors[2:] @ vectors[0] / np.linalg.norm(vectors[2:], axis=1) / np.linalg.norm(vectors[0])
    assert np.abs(np.array(found) - cosines).max() < 1e-6, f"found {found}; expected {cosines}"


@checks
def text_classification():
    labels = expected("classify", SENTENCE)["labels"]
    found = client("classify").text_classification(SENTENCE)
    same([(label.label, label.score) for label in found], [(label["label"], label["score"]) for label in labels])
    same(len(client("classify").text_classification(SENTENCE, top_k=1)), 1)
    found = client("classify").text_classification(SENTENCE, function_to_apply="sigmoid")
    for label, found in zip(labels, found):
        assert math.isclose(found.score, 1 / (1 + math.exp(-label["logit"])), rel_tol=1e-5), found


@checks
def token_classification():
    entities = expected("tag", SENTENCE)["entities"]
    found = client("tag").token_classification(SENTENCE, aggregation_strategy="simple")
    same(
        [(entity.entity_group, entity.score, entity.start, entity.end) for entity in found],
        [(entity["label"], entity["score"], entity["start_char"], entity["end_char"]) for entity in entities],
    )
    assert all(entity.word for entity in found)
    tokens = client("tag").token_classification(SENTENCE, aggregation_strategy="none")
    assert all(token.entity for token in tokens) and len(tokens) >= len(found), tokens


@checks
def question_answering():
    for question in ("Who met Émile?", "Where?"):
        answer = expected("answer", SENTENCE, "--question", question)["answers"][0]
        found = client("answer").question_answering(question=question, context=SENTENCE)
        same(
            (found.answer, found.score, found.start, found.end),
            (answer["answer"], answer["score"], answer["start_char"], answer["end_char"]),
        )
    same(len(client("answer").question_answering(question="Who?", context=SENTENCE, top_k=3)), 3)


@checks
def fill_mask():
    text = "The [MASK] sat on the mat."
    candidates = expected("fill", text)["masks"][0]["candidates"]
    found = client("fill").fill_mask(text)
    same(
        [(one.token, one.token_str, one.score, one.sequence) for one in found],
        [(one["id"], one["token"], one["score"], one["sequence"]) for one in candidates],
    )
    same(len(client("fill").fill_mask(text, top_k=2)), 2)


@checks
def tasks_at_the_root_of_a_server_of_their_own():
    root = lambda task: InferenceClient(base_url=head_server(task).url)
    assert root("tag").token_classification(SENTENCE)[0].entity_group
    assert root("answer").question_answering(question="Who?", context=SENTENCE).answer
    assert root("fill").fill_mask("The [MASK] sat.")[0].token_str
    # A classifier's root answers as text-embeddings-inference does, in a form that this client's method does not read.


checks.run()
