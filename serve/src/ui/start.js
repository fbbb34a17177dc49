// The page itself: a tab for every task that a model of the server is for.

const byId = id => document.getElementById(id);

/** What went wrong, in an element that is read aloud when it changes. */
function report(element, error) {
  element.textContent = error instanceof Error ? error.message : error;
  element.hidden = false;
}

/** The form of a task, and the place of its results. */
function panelOf(task, models, defaultName) {
  const prefix = name => `${task.id}-${name}`;
  let model = models[0];
  const choice = make("select", { id: prefix("model") }, ...models.map(({ id }) => make("option", { value: id }, id)));
  const fields = task.fields.map(({ id, label, rows, example }) => {
    const input = make("textarea", { id: prefix(id), rows });
    input.value = example(model);
    return { id, label, example, input };
  });
  const values = () => Object.fromEntries(fields.map(({ id, input }) => [id, input.value]));
  choice.addEventListener("change", () => {
    const earlier = model;
    model = models.find(({ id }) => id === choice.value);
    // An example that nobody has changed follows the model: masks are written in several ways.
    for (const { input, example } of fields) if (input.value === example(earlier)) input.value = example(model);
  });

  const status = make("p", { role: "status", class: "quiet" });
  const problem = make("p", { role: "alert", class: "error", hidden: true });
  const result = make("section", { class: "result", "aria-label": "Result" });
  const form = make("form", {},
    ...(models.length > 1 ? [make("label", { for: choice.id }, "Model"), choice] : [make("p", { class: "quiet" }, `Model ${model.id}`)]),
    ...fields.flatMap(({ label, input }) => [make("label", { for: input.id }, label), input]),
    make("button", { id: prefix("run"), type: "submit" }, "Run"));
  let running;
  form.addEventListener("submit", async event => {
    event.preventDefault();
    running?.abort(); // only the newest request is shown
    const { signal } = running = new AbortController();
    const [asked, typed] = [model, values()];
    problem.hidden = true;
    result.replaceChildren();
    status.textContent = "Running…";
    try {
      const wrong = task.check?.(typed);
      if (wrong) throw new Error(wrong);
      const reply = await ask(task.path(asked), task.body(asked, typed), signal);
      const tokens = tokensOf(asked, defaultName, task.texts(typed));
      result.replaceChildren(...task.show(reply.json, typed), make("h2", {}, "Timings"), timings(reply), tokens);
      status.textContent = `Done in ${decimals(reply.took, 1)} ms.`;
    } catch (error) {
      if (signal.aborted) return;
      status.textContent = "";
      report(problem, error);
    }
  });
  return make("div", { id: prefix("panel"), role: "tabpanel", "aria-labelledby": prefix("tab"), tabindex: "0" }, form, status, problem, result);
}

/** The tokens of texts, asked for when they are opened. The route knows the default model only. */
function tokensOf(model, defaultName, texts) {
  const details = make("details", { class: "token-lists" }, make("summary", {}, "Tokens, as the tokenizer reads the texts"));
  if (model.id !== defaultName) {
    details.append(make("p", {}, `The server shows tokens of its first model only, which is ${defaultName}.`));
    return details;
  }
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    const shown = make("div");
    details.replaceChildren(details.firstChild, shown);
    try {
      const { json } = await ask("tokenize", { inputs: texts });
      shown.append(...json.map(tokenList));
    } catch (error) {
      report(shown.appendChild(make("p", { role: "alert", class: "error" })), error);
    }
  });
  return details;
}

/** Shows one of the tabs. */
function select(tab) {
  for (const other of byId("tabs").children) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", isChosen);
    other.tabIndex = isChosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
}

function tabOf({ id, title }) {
  const tab = make("button", { id: `${id}-tab`, role: "tab", type: "button", "aria-controls": `${id}-panel` }, title);
  tab.addEventListener("click", () => select(tab));
  return tab;
}

/** Arrows, Home and End go from tab to tab, as the pattern of ARIA has it. */
byId("tabs").addEventListener("keydown", event => {
  const tabs = [...byId("tabs").children];
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  const tab = tabs.at(to % tabs.length);
  select(tab);
  tab.focus();
});

/** Asks which models there are, and makes a tab for every task that one of them is for. */
async function connect() {
  byId("problem").hidden = true;
  byId("tabs").replaceChildren();
  byId("panels").replaceChildren();
  byId("server").textContent = "Asking the server…";
  try {
    const [{ json: { data: models } }, { json: info }] = await Promise.all([ask("v1/models"), ask("info")]);
    const shown = tasks.map(task => ({ task, of: models.filter(model => task.tags.includes(model.pipeline_tag)) })).filter(({ of }) => of.length);
    byId("panels").append(...shown.map(({ task, of }) => panelOf(task, of, info.model_id)));
    byId("tabs").append(...shown.map(({ task }) => tabOf(task)));
    select(byId("tabs").firstChild);
    const threads = `instances: ${info.instances}, threads of each: ${info.threads}`;
    byId("server").textContent = `Version ${info.version}; models: ${models.map(model => model.id).join(", ")}; ${threads}; the first model reads up to ${info.max_input_length} tokens.`;
  } catch (error) {
    byId("server").textContent = "";
    report(byId("problem"), error);
  }
}

byId("connect").addEventListener("submit", event => {
  event.preventDefault();
  apiKey = byId("key").value;
  connect();
});
connect();
