//! Words of messages: counts, and what parsers say.

/// `1 row`, `2 rows`.
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What serde says, without the names of Rust's types.
pub(crate) fn parser(error: &serde_json::Error) -> String {
    const NAMES: [(&str, &str); 4] = [
        ("usize", "a whole number of at least 0"),
        ("u64", "a whole number of at least 0"),
        ("u32", "a whole number of at least 0"),
        ("f64", "a number"),
    ];
    let mut said = error.to_string();
    if let Some((before, after)) = said.split_once("expected struct ") {
        let rest = after.split_once(' ').map_or("", |(_, rest)| rest);
        said = format!("{before}expected an object {rest}").trim_end().to_owned();
    }
    NAMES
        .iter()
        .fold(said, |said, (theirs, ours)| said.replace(&format!("expected {theirs}"), &format!("expected {ours}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_no_types_of_rust() {
        let said = |json: &str| parser(&serde_json::from_str::<Vec<usize>>(json).unwrap_err());
        let expected = "invalid type: string \"a\", expected a whole number of at least 0 at line 1 column 4";
        assert_eq!(said(r#"["a"]"#), expected);
        #[derive(Debug, serde::Deserialize)]
        struct Settings {}
        let error = serde_json::from_str::<Settings>("1").unwrap_err();
        assert_eq!(parser(&error), "invalid type: integer `1`, expected an object at line 1 column 1");
        assert_eq!((plural(1, "layer"), plural(2, "layer")), ("1 layer".into(), "2 layers".into()));
    }
}
