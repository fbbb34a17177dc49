"""`tritonclient.http`: the Open Inference Protocol, in JSON, in the binary extension, and packed."""

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from harness import TEXTS, Checks, raises, same, same_bits
from lacuna import HEADS, REPOSITORY, SHIPPED, Server, embed, lines

checks = Checks("tritonclient")
MODELS = {SHIPPED: REPOSITORY / "assets" / "minilm-80.lacuna", "classify": HEADS / "bert-classify", "rank": HEADS / "bert-rank"}
SERVER = Server(*[part for name, path in MODELS.items() for part in ("--model", f"{name}={path}")])
CLIENT = triton.InferenceServerClient(SERVER.url.removeprefix("http://"), concurrency=8)


def inputs(texts, binary):
    tensor = triton.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_), binary_data=binary)
    return [tensor]


def outputs(binary, name="embedding"):
    return [triton.InferRequestedOutput(name, binary_data=binary)]


@checks
def health_and_metadata():
    assert CLIENT.is_server_live() and CLIENT.is_server_ready() and CLIENT.is_model_ready(SHIPPED)
    assert not CLIENT.is_model_ready("none")
    metadata = CLIENT.get_server_metadata()
    assert "binary_tensor_data" in metadata["extensions"], metadata
    metadata = CLIENT.get_model_metadata(SHIPPED)
    same(metadata["name"], SHIPPED)
    same([(tensor["name"], tensor["datatype"]) for tensor in metadata["inputs"]], [("text", "BYTES")])
    same([(tensor["name"], tensor["datatype"]) for tensor in metadata["outputs"]], [("embedding", "FP32")])


@checks
def json_and_binary_in_both_directions():
    expected = embed(TEXTS)
    for asked in (False, True):
        for answered in (False, True):
            result = CLIENT.infer(SHIPPED, inputs(TEXTS, asked), outputs=outputs(answered), request_id="7")
            same_bits(result.as_numpy("embedding"), expected)
            same(result.get_response()["id"], "7")


@checks
def without_requested_outputs():
    same_bits(CLIENT.infer(SHIPPED, inputs(TEXTS, True)).as_numpy("embedding"), embed(TEXTS))


@checks
def packed_requests_and_responses():
    expected = embed(TEXTS)
    for request in (None, "gzip", "deflate"):
        for response in (None, "gzip", "deflate"):
            for binary in (False, True):
                result = CLIENT.infer(
                    SHIPPED,
                    inputs(TEXTS, binary),
                    outputs=outputs(binary),
                    request_compression_algorithm=request,
                    response_compression_algorithm=response,
                )
                same_bits(result.as_numpy("embedding"), expected)


@checks
def async_infer():
    expected = embed(TEXTS)
    asked = [CLIENT.async_infer(SHIPPED, inputs(TEXTS[i % 6 :], True), outputs=outputs(True)) for i in range(24)]
    for i, one in enumerate(asked):
        same_bits(one.get_result().as_numpy("embedding"), expected[i % 6 :])


@checks
def labels():
    text = "The cat sat on the mat."
    expected = lines("classify", "--quiet", "--model", MODELS["classify"], text=text)[0]["labels"]
    for binary in (False, True):
        asked = outputs(binary, "scores") + outputs(binary, "label")
        result = CLIENT.infer("classify", inputs([text], binary), outputs=asked)
        same(result.as_numpy("label").reshape(-1)[0], expected[0]["label"].encode() if binary else expected[0]["label"])
        same_bits(np.sort(result.as_numpy("scores").reshape(-1)), sorted(label["score"] for label in expected))


@checks
def errors_are_those_of_the_protocol():
    error = raises(InferenceServerException, CLIENT.infer, "none", inputs(TEXTS, True))
    assert "none" in error.message(), error
    error = raises(InferenceServerException, CLIENT.infer, SHIPPED, inputs(TEXTS, True), outputs=outputs(True, "logits"))
    assert "logits" in error.message(), error


checks.run()
