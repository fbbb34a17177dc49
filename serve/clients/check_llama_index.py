"""The packages of LlamaIndex for text-embeddings-inference: vectors, and reranking of nodes."""

import asyncio

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference as TeiRerank

from harness import TEXTS, Checks, same, same_bits
from lacuna import HEADS, SHIPPED, embed, head_server, lines, shared_server

checks = Checks("llama-index-embeddings-text-embeddings-inference", "llama-index-postprocessor-tei-rerank")
# This client puts nothing before the texts of a model that it does not know.
FULL = [text for text in TEXTS if text]


def embedding():
    return TextEmbeddingsInference(
        model_name=SHIPPED, base_url=shared_server().url, auth_token="secret", embed_batch_size=2
    )


@checks
def texts_and_queries():
    expected = embed([text.strip() for text in FULL])
    same_bits(embedding().get_text_embedding_batch(FULL), expected)
    same_bits(embedding().get_query_embedding(FULL[0]), expected[0])
    same_bits(embedding().get_text_embedding(FULL[1]), expected[1])


@checks
def async_texts():
    expected = embed([text.strip() for text in FULL])
    same_bits(asyncio.run(embedding().aget_text_embedding_batch(FULL)), expected)


@checks
def long_texts_are_truncated():
    same_bits(embedding().get_text_embedding("word " * 600), embed(["word " * 600])[0])


@checks
def reranked_nodes():
    query, texts = "Who met Zoë?", ["rain", "Zoë met Émile in Paris.", "It was a fine film!"]
    ranked = lines("rank", "--quiet", "--model", HEADS / "bert-rank", "--query", query, text="\n".join(texts))
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in texts]
    ranker = TeiRerank(base_url=head_server("rank").url, top_n=2)
    found = ranker.postprocess_nodes(nodes, query_bundle=QueryBundle(query))
    same([(node.text, node.score) for node in found], [(one["passage"], one["score"]) for one in ranked[0]["ranking"][:2]])


checks.run()
