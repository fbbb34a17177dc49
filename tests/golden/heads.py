"""The fixtures of tests/heads: tiny seeded models with a head and a tokenizer, and what `transformers` makes of some texts.

Run by make.py. Every model becomes a folder in `heads/`:

    config.json, model.safetensors   as make.py writes them
    tokenizer.json                   a toy vocabulary: WordPiece, or byte-level BPE for RoBERTa
    golden.json                      texts; token ids and types; logits in f64 arithmetic; scores, entities, answers, candidates

Positions in texts are bytes of UTF-8. Entities are those of the library's pipeline (aggregation "first"). Answers are searched here, over
all spans of the windows that the library's tokenizer makes.
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig, BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification, BertForTokenClassification,
    DistilBertConfig, DistilBertForMaskedLM, DistilBertForSequenceClassification, DistilBertForTokenClassification,
    ElectraConfig, ElectraForMaskedLM, ElectraForSequenceClassification, PreTrainedTokenizerFast, RobertaConfig,
    RobertaForMaskedLM, RobertaForQuestionAnswering, RobertaForSequenceClassification, pipeline,
)

LIMIT = 40
OVERLAP = 7
LONGEST = 5
TOP = 4
WORDS = """a the cat cats dog mat film river city zoe emile paris london sat sits on in met by is was it who where what did fine dull
not and big old home went to rain""".split()
PIECES = "##s ##ing ##ed ##er ##n ##o ##e ##t ##y s e o t n y".split()
PUNCTUATION = list(".,?!'-")


def wordpiece():
    """BERT's, with upper case and accents dropped."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = {token: i for i, token in enumerate(special + PUNCTUATION + PIECES + WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    return tokenizer, names


def byte_level():
    """RoBERTa's, with merges that build each word from its left."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = [c for c in symbols if c in "abcdefghijklmnopqrstuvwxyzZEPLTW.,?!'-Ġ<>" or c in "Ã«©ī"]
    tokens, merges = special + letters, []
    for word in WORDS:
        left = "Ġ"
        for letter in word:
            if left + letter not in tokens:
                tokens.append(left + letter)
                merges.append((left, letter))
            left += letter
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False, lstrip=token == "<mask>") for token in special])
    names = dict(bos_token="<s>", cls_token="<s>", pad_token="<pad>", eos_token="</s>", sep_token="</s>", unk_token="<unk>",
                 mask_token="<mask>")
    return tokenizer, names


def sizes(**more):
    return dict(max_position_embeddings=LIMIT, hidden_size=32, num_attention_heads=2, num_hidden_layers=2, intermediate_size=32,
                **more)


def distil(**more):
    return dict(max_position_embeddings=LIMIT, dim=32, n_heads=2, n_layers=2, hidden_dim=32, **more)


def roberta(**more):
    return sizes(type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2, **more) | dict(max_position_embeddings=LIMIT + 2)


def labels(*names):
    return dict(num_labels=len(names), id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)})


TAGS = labels("O", "B-PER", "I-PER", "B-LOC", "I-LOC")

# name, task, class, configuration without the vocabulary, tokenizer
VARIANTS = [
    ("bert-classify", "classify", BertForSequenceClassification, BertConfig, sizes(**labels("bad", "so so", "good")), wordpiece),
    ("bert-rank", "rank", BertForSequenceClassification, BertConfig, sizes(**labels("relevant")), wordpiece),
    ("bert-tag", "tag", BertForTokenClassification, BertConfig, sizes(**TAGS), wordpiece),
    ("bert-answer", "answer", BertForQuestionAnswering, BertConfig, sizes(), wordpiece),
    ("bert-fill", "fill", BertForMaskedLM, BertConfig, sizes(hidden_act="relu"), wordpiece),
    ("distilbert-classify", "classify", DistilBertForSequenceClassification, DistilBertConfig,
     distil(problem_type="multi_label_classification", **labels("city", "animal", "film")), wordpiece),
    ("distilbert-tag", "tag", DistilBertForTokenClassification, DistilBertConfig, distil(**TAGS), wordpiece),
    ("distilbert-fill", "fill", DistilBertForMaskedLM, DistilBertConfig, distil(), wordpiece),
    ("roberta-classify", "classify", RobertaForSequenceClassification, RobertaConfig, roberta(num_labels=2), byte_level),
    ("roberta-answer", "answer", RobertaForQuestionAnswering, RobertaConfig, roberta(), byte_level),
    ("roberta-fill", "fill", RobertaForMaskedLM, RobertaConfig, roberta(hidden_act="relu"), byte_level),
    ("electra-classify", "classify", ElectraForSequenceClassification, ElectraConfig,
     sizes(embedding_size=20, hidden_act="relu", **labels("no", "yes")), wordpiece),
    ("electra-fill", "fill", ElectraForMaskedLM, ElectraConfig, sizes(embedding_size=20, hidden_act="relu"), wordpiece),
]

TEXTS = ["The cat sat on the mat.", "Zoë met Émile in Paris, by the river.", "", "It was dull?  Not a fine film!",
         "who " * 50 + "met Zoë"]
PAIRS = [("Where did the dog sit?", "On the mat, by the old river."), ("A film.", "the cat " * 30), ("Émile went home " * 12, "rain " * 12)]
PASSAGES = ["On the mat, by the old river.", "Zoë met Émile in Paris.", "rain", "It was a fine, big film. " * 6]
QUESTIONS = [("Who met Émile?", "Zoë met Émile in Paris, by the old river."), ("Where?", ""),
             ("Where did the cats go?", "The dog sat on the mat. Zoë sits by the river in London - it was raining. "
              "The cat went to Paris; Émile was not in the city. It is a big old city, and the rain was dull!")]


class Model:
    """A model and its tokenizer: what is asked of it, and what it answers."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.typed = model.config.model_type in ("bert", "electra")

    def logits(self, ids, types):
        inputs = {"input_ids": torch.tensor([ids])}
        if self.typed:
            inputs["token_type_ids"] = torch.tensor([types])
        with torch.no_grad():
            output = self.model(**inputs)
        if "start_logits" in output:
            return torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1).tolist()
        return output.logits[0].tolist()

    def encode(self, text, pair=None):
        encoded = self.tokenizer(text, pair, truncation="longest_first", max_length=LIMIT, return_token_type_ids=True,
                                 return_offsets_mapping=True)
        types = encoded["token_type_ids"] if self.typed else [0] * len(encoded["input_ids"])
        return encoded, {"text": text, "pair": pair, "ids": encoded["input_ids"], "types": types,
                         "logits": self.logits(encoded["input_ids"], types)}


def in_bytes(text, at):
    return len(text[:at].encode())


def classify(model):
    return [model.encode(text, pair)[1] for text, pair in [(text, None) for text in TEXTS] + PAIRS]


def rank(model):
    return [model.encode("Who met Zoë?", passage)[1] for passage in PASSAGES]


def tag(model):
    tagger = pipeline("token-classification", model=model.model, tokenizer=model.tokenizer, aggregation_strategy="first")
    rows = []
    for text in TEXTS:
        row = model.encode(text)[1]
        read = text[:model.encode(text)[0]["offset_mapping"][-2][1]]  # the pipeline does not cut
        row["entities"] = [{"label": found["entity_group"], "start": in_bytes(text, found["start"]),
                            "end": in_bytes(text, found["end"]), "score": float(found["score"])}
                           for found in (tagger(read) if read else [])]
        rows.append(row)
    return rows


def answer(model):
    rows = []
    for question, context in QUESTIONS:
        encoded = model.tokenizer(question, context, truncation="only_second" if context else False, max_length=LIMIT, stride=OVERLAP,
                                  return_overflowing_tokens=True, return_offsets_mapping=True, return_token_type_ids=True)
        spans, none, windows, edges = {}, [], [], {}
        for n, ids in enumerate(encoded["input_ids"]):
            types = encoded["token_type_ids"][n] if model.typed else [0] * len(ids)
            logits = model.logits(ids, types)
            windows.append({"ids": ids, "types": types, "logits": logits})
            none.append(sum(logits[0]))
            of_context = [i for i, part in enumerate(encoded.sequence_ids(n)) if part == 1]
            offsets = encoded["offset_mapping"][n]
            step = step if n else len(of_context) - OVERLAP
            for first in of_context:
                word = encoded.word_ids(n)[first]
                same = [i for i in of_context if encoded.word_ids(n)[i] == word]
                start, end = edges.get(word, (offsets[same[0]][0], offsets[same[-1]][1]))
                edges[word] = (min(start, offsets[same[0]][0]), max(end, offsets[same[-1]][1]))
                for last in of_context:
                    if first <= last < first + LONGEST:
                        place = n * step - of_context[0]  # of a token in the whole context
                        key = (place + first, place + last, word, encoded.word_ids(n)[last])
                        spans[key] = max(spans.get(key, -np.inf), logits[first][0] + logits[last][1])
        for allow_none in (False, True):
            found = [((in_bytes(context, edges[key[2]][0]), in_bytes(context, edges[key[3]][1])), logit)
                     for key, logit in spans.items()]
            found += [(None, min(none))] if allow_none else []
            total = sum(np.exp(logit) for _, logit in found)
            answers = []
            for span, logit in sorted(found, key=lambda pair: -pair[1]):
                taken = [a["span"] for a in answers if a["span"]]
                if len(answers) < TOP and all(span is None or span[1] <= a or b <= span[0] for a, b in taken):
                    answers.append({"span": span, "score": float(np.exp(logit) / total)})
            rows.append({"question": question, "context": context, "allow_none": allow_none, "windows": windows, "answers": answers})
    return rows


def fill(model):
    mask, rows = model.tokenizer.mask_token, []
    for text in [f"The {mask} sat on the mat.", f"Zoë met {mask} in {mask}."]:
        encoded, row = model.encode(text)
        row["masks"] = []
        for i, token in enumerate(row["ids"]):
            if token == model.tokenizer.mask_token_id:
                scores = torch.softmax(torch.tensor(row["logits"][i], dtype=torch.float64), dim=0)
                best = torch.topk(scores, TOP)
                start, end = encoded["offset_mapping"][i]
                row["masks"].append({
                    "start": in_bytes(text, start), "end": in_bytes(text, end),
                    "candidates": [{"id": id, "token": model.tokenizer.decode([id], clean_up_tokenization_spaces=False), "score": score}
                                   for id, score in zip(best.indices.tolist(), best.values.tolist())]})
        rows.append(row)
    return rows


def rounded(value):
    """Numbers with seven digits: more than f32 has to say."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def main(here, randomise, stored, versions):
    for seed, (name, task, model_class, config_class, settings, make_tokenizer) in enumerate(VARIANTS):
        folder = here / "heads" / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer, names = make_tokenizer()
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        config = config_class(vocab_size=tokenizer.get_vocab_size(), architectures=[model_class.__name__], **settings)
        config._attn_implementation = "eager"
        model = model_class(config).eval()
        randomise(model, torch.float16, torch.Generator().manual_seed(2000 + seed))
        for part, parameter in model.named_parameters():
            if part.split(".")[0] in ("classifier", "qa_outputs") and "dense" not in part:
                parameter.data *= 4  # opinions; a power of two, so that f16 holds it
        config.save_pretrained(folder)
        save_file(stored(model, torch.float16, {}), folder / "model.safetensors", metadata={"format": "pt"})
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LIMIT, **names)
        rows = globals()[task](Model(model.double(), fast))
        (folder / "golden.json").write_text(json.dumps({"task": task, "made_with": versions, "rows": rounded(rows)}) + "\n")
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"heads/{name:<20} {size / 1000:6.1f} kB")
