// The tasks: what a person types, what is asked, how the answer is shown. `tags` are those of /v1/models.

/** More sentences would make a table that nobody can read. */
const MOST_SENTENCES = 40;

const lines = text => text.split("\n").filter(line => line.trim());
const pipeline = model => `models/${encodeURIComponent(model.id)}`;

const tasks = [
  {
    id: "similarity", title: "Similarity", tags: ["feature-extraction", "fill-mask"],
    fields: [{ id: "sentences", label: "Sentences, one per line", rows: 5, example: () => "A cat sits on the mat.\nA kitten rests on a rug.\nStock prices fell sharply." }],
    path: () => "v1/embeddings",
    body: (model, { sentences }) => ({ model: model.id, input: lines(sentences) }),
    check: ({ sentences }) => lines(sentences).length > MOST_SENTENCES && `Found ${lines(sentences).length} sentences. The page shows at most ${MOST_SENTENCES}.`,
    texts: ({ sentences }) => lines(sentences),
    show({ data }, { sentences }) {
      const vectors = data.map(one => one.embedding);
      const first = vectors.map(vector => vector.slice(0, 8).map(value => decimals(value)).join("  ")).join("\n");
      const features = make("details", {}, make("summary", {}, `Vectors of ${vectors[0].length} features`), make("p", { class: "quiet" }, "The first 8 features of each:"), make("pre", { class: "scroll" }, first));
      return [heatMap(lines(sentences), vectors), features];
    },
  },
  {
    id: "classify", title: "Classification", tags: ["text-classification"],
    fields: [
      { id: "text", label: "Text", rows: 4, example: () => "The film was a delight from beginning to end." },
      { id: "pair", label: "Second text, for models that read pairs (may be empty)", rows: 2, example: () => "" },
    ],
    path: pipeline,
    body: (_, { text, pair }) => ({ inputs: pair ? { text, text_pair: pair } : text }),
    texts: ({ text, pair }) => [text, pair].filter(Boolean),
    show: ([labels]) => [bars("Labels, the best first", ["Label", "Score"], labels.map(({ label, score }) => ({ name: label, score })))],
  },
  {
    id: "rerank", title: "Re-ranking", tags: ["text-ranking"],
    fields: [
      { id: "query", label: "Query", rows: 1, example: () => "How do cats sleep?" },
      { id: "documents", label: "Texts, one per line", rows: 6, example: () => "Cats sleep twelve to sixteen hours a day, mostly in short naps.\nThe river Seine flows through Paris.\nA cat curls up to keep warm while it rests." },
    ],
    path: pipeline,
    body: (_, { query, documents }) => ({ query, texts: lines(documents) }),
    texts: ({ query, documents }) => [query, ...lines(documents)],
    show(ranks, { documents }) {
      const texts = lines(documents);
      const item = ({ index, score }) => make("li", {}, make("span", { class: "score" }, decimals(score)), ` ${texts[index]}`);
      return [make("h2", {}, "Texts, the best first"), make("ol", { class: "ranks" }, ...ranks.map(item))];
    },
  },
  {
    id: "tag", title: "Tagging", tags: ["token-classification"],
    fields: [{ id: "text", label: "Text", rows: 5, example: () => "Zoë Martin flew from Paris to Nairobi to work for Médecins Sans Frontières." }],
    path: pipeline,
    body: (_, { text }) => ({ inputs: text }),
    texts: ({ text }) => [text],
    show(entities, { text }) {
      const colours = coloured(entities.map(entity => entity.entity_group));
      const ranges = entities.map(({ start, end, entity_group: label }) => ({ start, end, label, style: colours.get(label) }));
      const { shown, left } = marked(text, ranges);
      const legend = make("ul", { class: "legend", "aria-label": "Legend" }, ...[...colours].map(([label, style]) => make("li", {}, make("span", { class: style }, label))));
      const row = ({ word, entity_group: label, score, start, end }) => make("tr", { class: "entity" }, make("th", { scope: "row" }, word), make("td", {}, label), number(decimals(score)), number(`${start}`), number(`${end}`));
      const all = table("Entities. Places count characters.", ["Text", "Label", "Score", "Start", "End"], entities.map(row));
      const none = entities.length ? [] : [make("p", {}, "No entity was found.")];
      const overlaps = left ? [make("p", {}, `${left} entities overlap others: they are in the table only.`)] : [];
      return [shown, legend, ...none, ...overlaps, ...(entities.length ? [all] : [])];
    },
  },
  {
    id: "answer", title: "Question answering", tags: ["question-answering"],
    fields: [
      { id: "question", label: "Question", rows: 1, example: () => "Where did Zoë fly?" },
      { id: "context", label: "Context", rows: 6, example: () => "Zoë Martin flew from Paris to Nairobi in the spring. She came back by train and ship." },
    ],
    path: pipeline,
    body: (_, { question, context }) => ({ inputs: { question, context }, parameters: { top_k: 3 } }),
    texts: ({ question, context }) => [question, context],
    show(answer, { context }) {
      const answers = [answer].flat(); // one answer comes without a list
      const best = answers[0];
      if (!best?.answer) return [make("p", {}, "The context has no answer.")];
      const { shown } = marked(context, [{ start: best.start, end: best.end, style: "c0" }]);
      return [shown, bars("Answers, the best first", ["Answer", "Score"], answers.map(({ answer, score }) => ({ name: answer, score })))];
    },
  },
  {
    id: "fill", title: "Filling in masks", tags: ["fill-mask"],
    fields: [{ id: "text", label: "Text with masks", rows: 3, example: model => `The capital of France is ${model.mask_token ?? "[MASK]"}.` }],
    path: pipeline,
    body: (_, { text }) => ({ inputs: text }),
    texts: ({ text }) => [text],
    show(answer) {
      const masks = Array.isArray(answer[0]) ? answer : [answer]; // one mask comes without a list of masks
      const candidates = list => list.map(({ token_str: name, score, sequence }) => ({ name, score, rest: [sequence] }));
      const caption = i => masks.length > 1 ? `Candidates of mask ${i + 1}` : "Candidates of the mask";
      return masks.map((list, i) => bars(caption(i), ["Token", "Score", "Text"], candidates(list)));
    },
  },
];
