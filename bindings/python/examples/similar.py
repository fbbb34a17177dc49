"""Which sentences are alike: the example of the README."""

import lacuna

model = lacuna.SentenceTransformer()  # the model that comes with the package
sentences = ["A cat sits on the mat.", "A kitten rests on a rug.", "It rains at noon."]
embeddings = model.encode(sentences)
print(embeddings.shape, embeddings.dtype)
print(model.similarity(embeddings, embeddings))
