"""Lacuna as the embedding model of LlamaIndex: pip install llama-index-core."""

from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

import lacuna


class LacunaEmbedding(BaseEmbedding):  # type: ignore[misc, unused-ignore]  # without LlamaIndex its class has no type
    """Embeddings of queries and texts, with the prompts that the model has for them."""

    _model: lacuna.SentenceTransformer = PrivateAttr()

    def __init__(self, model: lacuna.SentenceTransformer, **options: Any) -> None:
        super().__init__(model_name="lacuna", embed_batch_size=options.pop("embed_batch_size", 256), **options)
        self._model = model

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._model.encode_query(query).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._model.encode_document(texts).tolist()
        return vectors


if __name__ == "__main__":
    documents = [Document(text="A cat sits on the mat."), Document(text="It rains at noon.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=LacunaEmbedding(lacuna.SentenceTransformer()))
    print(index.as_retriever(similarity_top_k=1).retrieve("Where is the kitten?")[0].text)
