//! The page `/ui`, on which a person tries the models. Here it is several files; a browser gets one.

use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const BODY: &str = include_str!("body.html");
const STYLE: &str = include_str!("style.css");
/// In the order in which one uses the other.
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("request.js"),
    include_str!("show.js"),
    include_str!("tasks.js"),
    include_str!("start.js")
);

/// The page, and what a browser lets it do.
struct Page {
    html: String,
    policy: String,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| Page {
    html: format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>lacuna serve</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n{BODY}<script>{SCRIPT}</script>\n</html>\n"
    ),
    policy: policy(),
});

/// Only the style and the script of the page, known by their hashes, and requests to its own server. With trusted types a
/// browser refuses to read a text as HTML.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// The page with its headers.
pub(crate) async fn ui() -> Response {
    let page = &*PAGE;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, &page.policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, &page.html[..]).into_response()
}
