"""mteb on a model of Lacuna: pip install mteb. The task is STSBenchmark; with a CSV file of two sentences and a score per row it needs no network."""

import csv
import sys

import mteb
from datasets import Dataset, DatasetDict
from mteb.models import SentenceTransformerEncoderWrapper

import lacuna


def main() -> None:
    task = mteb.get_task("STSBenchmark")
    if len(sys.argv) > 1:
        with open(sys.argv[1], newline="", encoding="utf-8") as file:
            first, second, scores = zip(*csv.reader(file), strict=True)
        columns = {"sentence1": first, "sentence2": second, "score": [float(score) for score in scores]}
        task.dataset = DatasetDict(test=Dataset.from_dict(columns))
        task.data_loaded = True
    # mteb takes models of its own protocol; this wrapper makes one of any sentence encoder.
    model = SentenceTransformerEncoderWrapper(lacuna.SentenceTransformer())
    result = mteb.evaluate(model, task, cache=None)
    print(result.task_results[0].scores["test"][0]["cosine_spearman"])


if __name__ == "__main__":
    main()
