//! What is said of a model before the first result.

use lacuna::config::RemarkScope;
use lacuna::heads::Head;
use lacuna::tasks::EmbedPrompt;

use crate::packed::Opened;

/// The remarks that matter for embeddings, with the prompt that is used in place of the default one.
pub(super) fn of_embeddings(model: &Opened, prompt: &EmbedPrompt) -> Vec<String> {
    let prompts = model.prompts();
    let default = prompts.remark().filter(|_| *prompt != EmbedPrompt::Default);
    let others = model.remarks().into_iter().filter(|remark| Some(remark) != default.as_ref());
    let mut said: Vec<String> =
        others.filter(|remark| remark.scope != RemarkScope::Head).map(|remark| remark.text).collect();
    let chosen = prompts.choose(prompt.choice()).ok().flatten();
    said.extend(match (prompt, chosen, prompts.default_text()) {
        (EmbedPrompt::Default, _, _) | (_, None, None) => None,
        (EmbedPrompt::Name(name), Some(text), _) => {
            Some(format!("prompt: {text:?} is put before every text (--prompt-name {name})"))
        }
        (_, Some(text), _) => Some(format!("prompt: {text:?} is put before every text (--prompt)")),
        (_, None, Some(default)) => Some(format!("prompt: none; the default one, {default:?}, is left out")),
    });
    said
}

/// The remarks that matter for a task with a head. `ranks` passages with scores that the model's files may name a function for, unless
/// scores are `raw`.
pub(crate) fn of_head(model: &Opened, head: &Head, ranks: bool, raw: bool) -> Vec<String> {
    let all = model.remarks().into_iter().filter(|remark| remark.scope != RemarkScope::Embeddings);
    let mut said: Vec<String> = all.map(|remark| remark.text).collect();
    let prompt = model.default_prompt().filter(|_| ranks);
    said.extend(prompt.map(|text| format!("prompt: {text:?} is put before the query (default_prompt_name)")));
    if !(ranks && raw) {
        said.extend(head.remarks(ranks).into_iter().map(|remark| remark.text));
    }
    said
}
