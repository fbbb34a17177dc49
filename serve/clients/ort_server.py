"""A minimal server of ONNX Runtime: FastAPI with the route of OpenAI, one batch per request. What many teams write by hand.

    uvicorn ort_server:application --port 8081 --workers 2

The environment says what runs: ORT_GRAPH, ORT_TOKENIZER, ORT_THREADS.
"""

import os

import numpy as np
import onnxruntime
import orjson
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from tokenizers import Tokenizer

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ["ORT_THREADS"])
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["ORT_GRAPH"], options, providers=["CPUExecutionProvider"])
NAMES = {node.name for node in session.get_inputs()}
tokenizer = Tokenizer.from_file(os.environ["ORT_TOKENIZER"])
tokenizer.enable_truncation(256)
tokenizer.enable_padding()
application = FastAPI()


def embed(texts):
    """Mean pooling, then length 1, as sentence-transformers has it for this model."""
    encoded = tokenizer.encode_batch(texts)
    mask = np.array([one.attention_mask for one in encoded], np.int64)
    ids = np.array([one.ids for one in encoded], np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    output = session.run(None, {name: inputs[name] for name in NAMES})[0]
    if output.ndim == 3:
        weights = mask[:, :, None].astype(np.float32)
        output = (output * weights).sum(1) / weights.sum(1)
    return output / np.linalg.norm(output, axis=1, keepdims=True), int(mask.sum())


@application.post("/v1/embeddings")
async def embeddings(request: Request):
    body = orjson.loads(await request.body())
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors, tokens = await run_in_threadpool(embed, texts)
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": "onnx", "usage": usage}
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


@application.get("/health")
async def health():
    return {}
