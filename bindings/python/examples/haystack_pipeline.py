"""Lacuna as the embedders of Haystack: pip install haystack-ai."""

from dataclasses import replace
from typing import Any

from haystack import Document, component
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

import lacuna


@component  # type: ignore[misc, unused-ignore]  # without Haystack its decorator has no type
class LacunaDocumentEmbedder:
    """Gives every document its embedding."""

    def __init__(self, model: lacuna.SentenceTransformer) -> None:
        self.model = model

    @component.output_types(documents=list[Document])  # type: ignore[misc, untyped-decorator, unused-ignore]
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Copies of the documents with embeddings."""
        vectors = self.model.encode_document([document.content or "" for document in documents])
        embedded = [replace(document, embedding=vector.tolist()) for document, vector in zip(documents, vectors, strict=True)]
        return {"documents": embedded}


@component  # type: ignore[misc, unused-ignore]
class LacunaTextEmbedder:
    """The embedding of a query."""

    def __init__(self, model: lacuna.SentenceTransformer) -> None:
        self.model = model

    @component.output_types(embedding=list[float])  # type: ignore[misc, untyped-decorator, unused-ignore]
    def run(self, text: str) -> dict[str, Any]:
        """The embedding."""
        return {"embedding": self.model.encode_query(text).tolist()}


if __name__ == "__main__":
    model = lacuna.SentenceTransformer()
    store = InMemoryDocumentStore()
    documents = [Document(content="A cat sits on the mat."), Document(content="It rains at noon.")]
    store.write_documents(LacunaDocumentEmbedder(model).run(documents)["documents"])
    query = LacunaTextEmbedder(model).run("Where is the kitten?")["embedding"]
    print(InMemoryEmbeddingRetriever(store, top_k=1).run(query)["documents"][0].content)
