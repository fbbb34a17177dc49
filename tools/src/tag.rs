//! `lacuna tag`: texts in, the spans that have labels out.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use lacuna::TextInput;
use lacuna::tasks::{Aggregation, LabelScheme, TagOptions, TagTask, TextRecord};

use crate::packed::Opened;
use crate::task::{Extra, Reading, TaskArgs, check_overlap};
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::source::exactly_one;

/// Find names, places and other labelled spans in texts, one per line
///
/// For models of an architecture that ends in ForTokenClassification. A word has the label of its first token; the words
/// of an entity are put together as the prefixes of the labels say (B- and I-, BIOES, BILOU); label O is left out. In text
/// without blanks (Chinese, Japanese, Thai) every token is a word. Long texts are read in overlapping windows.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])))]
#[command(after_help = "\
Examples:
  echo 'Ada met Charles in London.' | lacuna tag --model bert-base-NER
  lacuna tag --model bert-base-NER --input articles.txt --output entities.jsonl

Output: one line {\"text\":\"Ada met ...\",\"entities\":[{\"label\":\"PER\",\"start\":0,\"end\":3,\"start_char\":0,
\"end_char\":3,\"score\":0.99,\"text\":\"Ada\"},...]} per text. start and end are bytes of UTF-8, start_char and end_char characters as
Python counts them. Input of --jsonl: {\"text\":\"...\"}; other fields are kept.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// How the labels of tokens become entities, as transformers' pipeline has it: none gives every token with its whole
    /// label; simple joins tokens without regard to words; with first, average and max a word has the label of its first
    /// token, of the largest mean score, or of the token that is surest
    #[arg(long, visible_alias = "aggregation-strategy", value_name = "HOW", default_value = "first", value_parser = aggregations())]
    aggregation: Aggregation,

    /// What the prefixes of labels mean: io, bio (IOB1 and IOB2), bioes or bilou [default: as the labels look]
    #[arg(long, value_name = "NAME", value_parser = schemes())]
    scheme: Option<LabelScheme>,

    /// Tokens that two windows of a long text share [default: 128, or half of the room if that is less]
    #[arg(long, value_name = "N")]
    overlap: Option<usize>,
}

fn aggregations() -> impl TypedValueParser<Value = Aggregation> {
    PossibleValuesParser::new(Aggregation::ALL.map(Aggregation::name)).try_map(|name| name.parse::<Aggregation>())
}

fn schemes() -> impl TypedValueParser<Value = LabelScheme> {
    PossibleValuesParser::new(LabelScheme::ALL.map(LabelScheme::name)).try_map(|name| name.parse::<LabelScheme>())
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let options = TagOptions { aggregation: args.aggregation, scheme: args.scheme, overlap: args.overlap };
    let record = |texts: Vec<String>| TextRecord::new(texts.into_iter().next().unwrap_or_default());
    let room = "the tokens of text that fit the model";
    let check = |model: &Opened| check_overlap(model, args.overlap, TextInput::new(""), room);
    let extra = Extra { check: Box::new(check), ..Extra::default() };
    args.task.run(context, &TagTask { options }, "entities", Reading::each(&["text"], 1, record), extra)
}
