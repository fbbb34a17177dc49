"""`mteb` with its wrapper for OpenAI's protocol, on a small task of its own: nothing is downloaded."""

import csv
from pathlib import Path

import mteb
import numpy as np
import openai
import tiktoken
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.model_implementations.openai_models import OpenAIModel
from scipy.stats import spearmanr

from harness import Checks
from lacuna import SHIPPED, embed, shared_server

checks = Checks("mteb", "openai")
with open(Path(__file__).with_name("sts.tsv"), encoding="utf-8") as file:
    ROWS = [(float(score), one, other) for score, one, other in csv.reader(file, delimiter="\t")]


class SmallSts(AbsTaskSTS):
    """Pairs of `sts.tsv`."""

    metadata = TaskMetadata(
        name="SmallSts",
        description="Pairs of sentences with a score from 0 to 5",
        reference=None,
        dataset={"path": "local", "revision": "1"},
        type="STS",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="cosine_spearman",
        date=("2026-01-01", "2026-01-01"),
        domains=["Written"],
        task_subtypes=[],
        license="apache-2.0",
        annotations_creators="human-annotated",
        dialect=[],
        sample_creation="created",
        bibtex_citation="",
    )

    def load_data(self, *_, **__):
        scores, ones, others = zip(*ROWS)
        table = {"score": scores, "sentence1": ones, "sentence2": others}
        self.dataset, self.data_loaded = DatasetDict({"test": Dataset.from_dict(table)}), True


def wrapped():
    """The wrapper cuts texts by an encoding of OpenAI, which would be downloaded: an encoding of bytes takes its place."""
    name, ranks = "bytes", {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding(name=name, pat_str="(?s).", mergeable_ranks=ranks, special_tokens={})
    tiktoken.registry.ENCODINGS[name] = encoding
    client = openai.OpenAI(base_url=f"{shared_server().url}/v1", api_key="secret", max_retries=0)
    return OpenAIModel(SHIPPED, max_tokens=8191, tokenizer_name=name, embed_dim=384, client=client)


@checks
def the_score_is_that_of_lacuna_embed():
    result = mteb.evaluate(wrapped(), SmallSts(), cache=None, overwrite_strategy="always")
    found = result.task_results[0].scores["test"][0]["cosine_spearman"]
    one, other = embed([row[1] for row in ROWS]), embed([row[2] for row in ROWS])
    cosines = (one.astype(np.float64) * other).sum(1)
    expected = spearmanr([row[0] for row in ROWS], cosines)[0]
    assert abs(found - expected) < 1e-9, f"found {found}; expected {expected}"
    return f"Spearman {found:.4f}"


checks.run()
