//! Which kind of tokenizer a class of transformers is.

/// Classes by the model of their `tokenizer.json`, without `Tokenizer` or `TokenizerFast` at their end. Others are not judged.
const KINDS: [(&str, &[&str]); 3] = [
    (
        "WordPiece",
        &[
            "Bert",
            "DistilBert",
            "Electra",
            "MPNet",
            "MobileBert",
            "ConvBert",
            "Funnel",
            "Lxmert",
            "LayoutLM",
            "SqueezeBert",
        ],
    ),
    (
        "Unigram",
        &["XLMRoberta", "Camembert", "Albert", "T5", "DebertaV2", "XLNet", "MBart", "BigBird", "Pegasus", "RemBert"],
    ),
    (
        "BPE",
        &[
            "Roberta",
            "GPT2",
            "Bart",
            "Longformer",
            "LED",
            "Deberta",
            "CLIP",
            "Llama",
            "Gemma",
            "Qwen2",
            "GPTNeoX",
            "Herbert",
        ],
    ),
];

/// What to say of a `tokenizer_class` that is of another kind than the model in `tokenizer.json`.
pub(super) fn contradiction(class: &str, model: &str) -> Option<String> {
    let stem = class.strip_suffix("Fast").unwrap_or(class).strip_suffix("Tokenizer")?;
    let (kind, _) = KINDS.iter().find(|(_, classes)| classes.contains(&stem))?;
    (*kind != model).then(|| {
        format!("tokenizer_class: {class} is a {kind} tokenizer, tokenizer.json a {model}: tokenizer.json is followed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_classes_contradict() {
        assert!(contradiction("T5Tokenizer", "WordPiece").is_some_and(|said| said.contains("Unigram")));
        assert!(contradiction("RobertaTokenizerFast", "WordPiece").is_some());
        for class in
            ["BertTokenizer", "ElectraTokenizerFast", "PreTrainedTokenizerFast", "MyTokenizer", "TokenizersBackend"]
        {
            assert_eq!(contradiction(class, "WordPiece"), None);
        }
    }
}
