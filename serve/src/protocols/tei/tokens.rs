//! `/tokenize` and `/decode`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use lacuna::TextInput;
use lacuna::tokens::SentenceTokenizer;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::http::{Body, Inputs};
use crate::model::prompted;
use crate::prepare::{Input, check, is_long};
use crate::server::Server;

/// The body of `/tokenize`.
#[derive(Debug, Deserialize)]
pub(super) struct TokenizeRequest {
    inputs: Inputs,
    #[serde(default = "yes")]
    add_special_tokens: bool,
    prompt_name: Option<String>,
}

fn yes() -> bool {
    true
}

/// A token. Places count characters of the text, the prompt included.
#[derive(Debug, Serialize)]
pub(super) struct Token {
    id: u32,
    text: String,
    special: bool,
    start: Option<usize>,
    stop: Option<usize>,
}

pub(super) async fn tokenize(
    State(server): State<Arc<Server>>,
    Body(request): Body<TokenizeRequest>,
) -> Result<Json<Vec<Vec<Token>>>> {
    let TokenizeRequest { inputs: Inputs { all }, add_special_tokens, prompt_name } = request;
    check(&all, "inputs", server.limits())?;
    let model = server.model(None)?;
    let is_long = is_long(&all);
    let work = move || {
        let (prompt, _) = model.prompt(prompt_name.as_deref())?;
        let prompt = prompt_name.as_ref().and(prompt); // the default prompt is no part of the text
        let tokenizer = model.tokenizer()?;
        let of = |input: &Input| match input {
            Input::Text(text) => tokens(tokenizer, &prompted(prompt, text), add_special_tokens),
            _ => Err(Error::invalid("inputs", "token ids", "a string or a list of strings")),
        };
        all.iter().map(of).collect::<Result<Vec<_>>>()
    };
    server.tokenize(is_long, work).await.map(Json)
}

fn tokens(tokenizer: &SentenceTokenizer, text: &str, with_special: bool) -> Result<Vec<Token>> {
    let located = tokenizer.locate(TextInput::new(text))?;
    // The character at which each byte begins, so that places need no walk of their own.
    let mut characters = vec![0; text.len() + 1];
    let mut count = 0;
    for (byte, place) in characters.iter_mut().enumerate() {
        *place = count;
        count += usize::from(text.is_char_boundary(byte) && byte < text.len());
    }
    let token = |(&id, origin): (&u32, &Option<lacuna::tokens::TokenOrigin>)| match origin {
        None => Ok(Token { id, text: tokenizer.text_of(id)?, special: true, start: None, stop: None }),
        Some(origin) => {
            let bytes = origin.bytes.clone();
            let (start, stop) = (characters.get(bytes.start).copied(), characters.get(bytes.end).copied());
            Ok(Token { id, text: text.get(bytes).unwrap_or_default().to_owned(), special: false, start, stop })
        }
    };
    let all = located.ids.iter().zip(&located.origins).filter(|(_, origin)| with_special || origin.is_some());
    all.map(token).collect()
}

/// The body of `/decode`.
#[derive(Debug, Deserialize)]
pub(super) struct DecodeRequest {
    ids: Inputs,
    #[serde(default = "yes")]
    skip_special_tokens: bool,
}

pub(super) async fn decode(
    State(server): State<Arc<Server>>,
    Body(request): Body<DecodeRequest>,
) -> Result<Json<Vec<String>>> {
    let DecodeRequest { ids: Inputs { all }, skip_special_tokens } = request;
    check(&all, "ids", server.limits())?;
    let model = server.model(None)?;
    let tokenizer = model.tokenizer()?;
    let of = |input: &Input| match input {
        Input::Ids(ids) if ids.is_empty() => Err(Error::invalid("ids", "an empty list", "token ids")),
        Input::Ids(ids) => Ok(tokenizer.decode(ids, skip_special_tokens)?),
        _ => Err(Error::invalid("ids", "a string", "a list of token ids, or a list of such lists")),
    };
    all.iter().map(of).collect::<Result<Vec<_>>>().map(Json)
}
