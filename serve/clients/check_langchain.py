"""`OpenAIEmbeddings` of the package `langchain-openai`.

`check_embedding_ctx_length=False` sends texts. Without it the client sends token ids of OpenAI's own vocabulary, which no other model
can read: not even an error is sure to come, so users must set it. The client says the same of other servers.
"""

import asyncio

from langchain_openai import OpenAIEmbeddings

from harness import TEXTS, Checks, same_bits
from lacuna import SHIPPED, embed, shared_server

checks = Checks("langchain-openai")


def client(**options):
    return OpenAIEmbeddings(
        model=SHIPPED,
        base_url=f"{shared_server().url}/v1",
        api_key="secret",
        check_embedding_ctx_length=False,
        max_retries=0,
        **options,
    )


@checks
def documents_and_queries():
    same_bits(client().embed_documents(TEXTS), embed(TEXTS))
    same_bits(client(chunk_size=2).embed_documents(TEXTS), embed(TEXTS))
    same_bits(client().embed_query(TEXTS[0]), embed(TEXTS)[0])


@checks
def async_documents():
    same_bits(asyncio.run(client().aembed_documents(TEXTS)), embed(TEXTS))


@checks
def dimensions():
    same_bits(client(dimensions=64).embed_documents(TEXTS), embed(TEXTS, "--dimensions", 64))


checks.run()
