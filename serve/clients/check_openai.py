"""The package `openai`: `/v1/embeddings` and `/v1/models`."""

import asyncio
import json
from urllib.request import Request, urlopen

import openai

from harness import TEXTS, Checks, raises, same, same_bits
from lacuna import SHIPPED, embed, shared_server

checks = Checks("openai")


def client(kind=openai.OpenAI, key="secret"):
    return kind(base_url=f"{shared_server().url}/v1", api_key=key, max_retries=0)


def vectors(response):
    same([item.index for item in response.data], list(range(len(response.data))))
    return [item.embedding for item in response.data]


@checks
def base64_is_the_default_and_has_the_bits_of_lacuna_embed():
    response = client().embeddings.create(model=SHIPPED, input=TEXTS)
    same_bits(vectors(response), embed(TEXTS))
    same(response.model, SHIPPED)
    assert response.usage.prompt_tokens == response.usage.total_tokens > len(TEXTS)


@checks
def floats_have_the_bits_of_lacuna_embed():
    response = client().embeddings.create(model=SHIPPED, input=TEXTS, encoding_format="float")
    same_bits(vectors(response), embed(TEXTS))


@checks
def one_string():
    response = client().embeddings.create(model=SHIPPED, input=TEXTS[0])
    same_bits(vectors(response), embed(TEXTS[:1]))


def ids(texts, model):
    """What the server's tokenizer makes of texts, special tokens included."""
    body = json.dumps({"inputs": texts}).encode()
    headers = {"authorization": "Bearer secret", "content-type": "application/json"}
    with urlopen(Request(f"{shared_server().url}/tokenize", body, headers)) as answer:
        return [[token["id"] for token in tokens] for tokens in json.load(answer)]


@checks
def token_ids():
    lists = ids(TEXTS, SHIPPED)
    same_bits(vectors(client().embeddings.create(model=SHIPPED, input=lists)), embed(TEXTS))
    same_bits(vectors(client().embeddings.create(model=SHIPPED, input=lists[0])), embed(TEXTS[:1]))


@checks
def dimensions():
    response = client().embeddings.create(model=SHIPPED, input=TEXTS, dimensions=64)
    same_bits(vectors(response), embed(TEXTS, "--dimensions", 64))


@checks
def any_batching_has_the_same_bits():
    expected = embed(TEXTS)

    async def all_at_once():
        async with client(openai.AsyncOpenAI) as asking:
            requests = [asking.embeddings.create(model=SHIPPED, input=TEXTS[i % 6 :]) for i in range(60)]
            return await asyncio.gather(*requests)

    for i, response in enumerate(asyncio.run(all_at_once())):
        same_bits(vectors(response), expected[i % 6 :])


@checks
def models():
    names = [model.id for model in client().models.list()]
    same(names, [SHIPPED, "classify", "rank", "tag", "answer", "fill"])
    same(client().models.retrieve("tag").id, "tag")


@checks
def a_wrong_model_is_not_found():
    error = raises(openai.NotFoundError, client().embeddings.create, model="none", input="a")
    same(error.code, "model_not_found")
    raises(openai.NotFoundError, client().models.retrieve, "none")


@checks
def a_wrong_key_is_refused():
    raises(openai.AuthenticationError, client(key="wrong").embeddings.create, model=SHIPPED, input="a")


@checks
def wrong_requests_are_bad_requests():
    create = client().embeddings.create
    for wrong in ({"input": []}, {"input": "a", "dimensions": 0}, {"input": "a", "dimensions": 385}, {"input": "word " * 600}):
        error = raises(openai.BadRequestError, create, model=SHIPPED, **wrong)
        assert error.body["message"], f"{wrong}: no message"


checks.run()
