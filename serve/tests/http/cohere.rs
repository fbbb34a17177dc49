//! Reranking as Cohere has it.

use lacuna::tasks::CrossEncoder;
use serde_json::json;

use crate::support::{Running, number, open, with_head};

#[test]
fn documents_are_ranked_and_cut_to_the_best() {
    let (encoder, head) = open("bert-rank");
    let texts = ["On the mat, by the old river.", "The cat sat.", "Zoë met Émile in Paris."];
    let expected = CrossEncoder::new(encoder, head).unwrap().rank("Who met Zoë?", &texts).unwrap();
    let running = Running::new(vec![with_head("bert-rank")]);
    for path in ["/v2/rerank", "/v1/rerank"] {
        let body = json!({ "query": "Who met Zoë?", "documents": texts, "model": "bert-rank", "top_n": 2 });
        let found = running.post(path, &body).ok();
        let results = found["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        for (found, expected) in results.iter().zip(expected.iter()) {
            assert_eq!(*found, json!({ "index": expected.index, "relevance_score": number(expected.score) }), "{path}");
        }
        assert!(found["id"].is_string() && found["meta"]["billed_units"]["search_units"] == 1);
    }
    let objects = json!({ "query": "Who?", "documents": [{ "text": texts[0] }], "return_documents": true });
    assert_eq!(running.post("/v1/rerank", &objects).ok()["results"][0]["document"]["text"], texts[0]);
    // Long documents are truncated.
    let long = json!({ "query": "Who?", "documents": ["cat ".repeat(1000)] });
    assert_eq!(running.post("/v2/rerank", &long).header("x-truncated-inputs"), Some("1"));
    for (body, status) in [
        (json!({ "query": "a", "documents": [] }), 400),
        (json!({ "query": "a", "documents": ["b"], "top_n": 0 }), 400),
        (json!({ "query": "a", "documents": [1] }), 400),
        (json!({ "documents": ["b"] }), 400),
        (json!({ "query": "a", "documents": ["b"], "model": "other" }), 404),
    ] {
        let reply = running.post("/v2/rerank", &body);
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        assert!(reply.json()["message"].is_string());
    }
}
