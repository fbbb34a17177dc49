"""`Client` and `ClientV2` of the package `cohere`: rerank, synchronous and asynchronous."""

import asyncio

import cohere

from harness import Checks, raises, same
from lacuna import HEADS, lines, shared_server

checks = Checks("cohere")
QUERY = "Who met Zoë?"
DOCUMENTS = ["rain", "Zoë met Émile in Paris.", "It was a fine film!", "On the mat, by the old river."]


def client(kind, key="secret"):
    return kind(api_key=key, base_url=shared_server().url)


def expected():
    """Index and score of every document, the best first, as `lacuna rank` has them."""
    ranked = lines("rank", "--quiet", "--model", HEADS / "bert-rank", "--query", QUERY, text="\n".join(DOCUMENTS))
    return [(one["index"], one["score"]) for one in ranked[0]["ranking"]]


def found(response):
    return [(result.index, result.relevance_score) for result in response.results]


@checks
def both_clients_rank_as_lacuna_rank():
    for kind in (cohere.Client, cohere.ClientV2):
        same(found(client(kind).rerank(model="rank", query=QUERY, documents=DOCUMENTS)), expected())


@checks
def top_n():
    for kind in (cohere.Client, cohere.ClientV2):
        same(found(client(kind).rerank(model="rank", query=QUERY, documents=DOCUMENTS, top_n=2)), expected()[:2])


@checks
def returned_documents():
    response = client(cohere.Client).rerank(model="rank", query=QUERY, documents=DOCUMENTS, return_documents=True)
    same([result.document.text for result in response.results], [DOCUMENTS[i] for i, _ in expected()])


@checks
def async_client():
    async def ask():
        asking = client(cohere.AsyncClientV2)
        return await asyncio.gather(*[asking.rerank(model="rank", query=QUERY, documents=DOCUMENTS) for _ in range(20)])

    for response in asyncio.run(ask()):
        same(found(response), expected())


@checks
def errors_have_the_classes_of_the_client():
    rerank = client(cohere.ClientV2).rerank
    raises(cohere.NotFoundError, rerank, model="none", query=QUERY, documents=DOCUMENTS)
    raises(cohere.BadRequestError, rerank, model="rank", query=QUERY, documents=[])
    wrong = client(cohere.ClientV2, key="wrong").rerank
    raises(cohere.UnauthorizedError, wrong, model="rank", query=QUERY, documents=DOCUMENTS)


checks.run()
