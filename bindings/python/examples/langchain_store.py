"""Lacuna as the embeddings of LangChain: pip install langchain-core."""

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

import lacuna


class LacunaEmbeddings(Embeddings):  # type: ignore[misc, unused-ignore]  # without LangChain its class has no type
    """Embeddings of queries and documents, with the prompts that the model has for them."""

    def __init__(self, model: lacuna.SentenceTransformer) -> None:
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector per document."""
        vectors: list[list[float]] = self.model.encode_document(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        vector: list[float] = self.model.encode_query(text).tolist()
        return vector


if __name__ == "__main__":
    store = InMemoryVectorStore(LacunaEmbeddings(lacuna.SentenceTransformer()))
    store.add_documents([Document("A cat sits on the mat."), Document("It rains at noon.")])
    print(store.similarity_search("Where is the kitten?", k=1)[0].page_content)
