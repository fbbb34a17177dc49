"""The API rankers of the package `rerankers`: the styles of Cohere, Jina and text-embeddings-inference."""

from rerankers import Reranker

from harness import Checks, same
from lacuna import HEADS, head_server, lines

checks = Checks("rerankers")
QUERY = "Who met Zoë?"
DOCUMENTS = ["rain", "Zoë met Émile in Paris.", "It was a fine film!", "On the mat, by the old river."]


def ranker(provider, route):
    url = head_server("rank").url + route
    return Reranker("rank", model_type="APIRanker", api_provider=provider, api_key="none", url=url, verbose=0)


def expected():
    ranked = lines("rank", "--quiet", "--model", HEADS / "bert-rank", "--query", QUERY, text="\n".join(DOCUMENTS))
    return [(one["index"], one["score"]) for one in ranked[0]["ranking"]]


def ranks(provider, route):
    ranking = ranker(provider, route).rank(query=QUERY, docs=DOCUMENTS, doc_ids=list(range(len(DOCUMENTS))))
    same([(result.doc_id, result.score) for result in ranking.results], expected())


@checks
def cohere():
    ranks("cohere", "/v1/rerank")
    ranks("cohere", "/v2/rerank")


@checks
def jina():
    ranks("jina", "/v1/rerank")


@checks
def text_embeddings_inference():
    ranks("text-embeddings-inference", "/rerank")


checks.run()
