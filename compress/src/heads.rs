//! Which head is trained, and which it learns from.

use std::path::Path;

use lacuna::Model;
use lacuna::errors::ModelError;
use lacuna::heads::{Head, HeadConfig, HeadKind, HeadWeights, Problem};
use lacuna_data::gold::Labelled;
use lacuna_train::distil::LossWeights;
use lacuna_train::head::new_classification;

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::options::Options;

/// The heads of a run.
pub(crate) struct Heads {
    /// Where the head of the result begins.
    pub(crate) student: Head,
    /// The head whose logits it follows.
    pub(crate) teacher: Option<HeadWeights>,
    /// Whether it has learned nothing yet.
    pub(crate) is_new: bool,
}

impl Heads {
    /// The heads that the options and the models give; `None` if the model embeds.
    pub(crate) fn of(
        options: &Options,
        model: &Model,
        teacher: Option<&Model>,
        labelled: Option<&Labelled>,
        observer: &mut dyn Observer,
    ) -> Result<Option<Heads>> {
        let of_teacher = teacher.map(|teacher| head(teacher, observer)).transpose()?.flatten();
        if options.new_head {
            let labels = labelled.map(Labelled::names).transpose()?.unwrap_or_default(); // the check of the options guarantees a file
            let weights =
                new_classification(model.config(), model.weights().pooler.as_ref(), labels.len(), options.seed);
            let config = HeadConfig::classification(model.config().architecture, labels);
            let student = Head::new(Path::new("new head"), config, weights);
            let teacher = of_teacher.map(|teacher| follow(&student, &teacher)).transpose()?;
            return Ok(Some(Heads { student, teacher, is_new: true }));
        }
        let own = head(model, observer)?;
        let heads = match (own, teacher, of_teacher) {
            (Some(own), Some(_), Some(teacher)) => {
                let teacher = Some(follow(&own, &teacher)?);
                Heads { student: own, teacher, is_new: false }
            }
            (Some(own), Some(_), None) => Heads { student: own, teacher: None, is_new: false },
            (Some(own), None, _) => {
                let teacher = Some(own.weights().clone());
                Heads { student: own, teacher, is_new: false }
            }
            // The head of the task, on a model that has none.
            (None, _, Some(teacher)) => {
                check_architecture(model, &teacher)?;
                let weights = Some(teacher.weights().clone());
                Heads { student: teacher, teacher: weights, is_new: false }
            }
            (None, _, None) if labelled.is_some() => {
                return Err(Error::Argument {
                    option: "`labelled`",
                    found: format!("{}, a model without a head for labels", options.name),
                    expected:
                        "`new_head`, a model with a head for sequence classification, or a `teacher` that has one"
                            .into(),
                });
            }
            (None, _, None) => return Ok(None),
        };
        if labelled.is_some() {
            heads.student.require(HeadKind::SequenceClassification).map_err(lacuna::Error::from)?;
            let problem = heads.student.problem();
            if problem != Problem::SingleLabel {
                return Err(Error::Argument {
                    option: "`labelled`",
                    found: format!("a head for {}", problem.name()),
                    expected: "a head that gives a text one of several labels".into(),
                });
            }
        }
        Ok(Some(heads))
    }

    /// What the training minimises.
    pub(crate) fn losses(&self, has_teacher: bool, temperature: f64) -> LossWeights {
        let weights = LossWeights { logit_temperature: temperature, ..LossWeights::of_head() };
        match &self.teacher {
            _ if self.learns_from_labels_alone(has_teacher) => LossWeights { hidden: 0.0, logits: 0.0, ..weights },
            Some(_) => weights,
            None => LossWeights { logits: 0.0, ..weights },
        }
    }

    /// Whether there is nothing to follow: a new head leads the encoder away from what it did before.
    pub(crate) fn learns_from_labels_alone(&self, has_teacher: bool) -> bool {
        self.is_new && !has_teacher
    }
}

/// The head of a model that is trained with it. That of a masked language model is left out, and that is said.
fn head(model: &Model, observer: &mut dyn Observer) -> Result<Option<Head>> {
    match model.head() {
        Ok(head) if head.kind() == HeadKind::MaskedLm => {
            observer.remark(&format!("the head for masked words ({}) stays as it is", head.class()));
            Ok(None)
        }
        Ok(head) => Ok(Some(head)),
        Err(ModelError::NoHead { .. }) => Ok(None),
        Err(error) => Err(lacuna::Error::from(error).into()),
    }
}

/// Refuses the head of another architecture for a model that has none.
fn check_architecture(model: &Model, head: &Head) -> Result<()> {
    let architecture = model.config().architecture;
    let own = HeadConfig::classification(architecture, vec![]).class;
    let family = own.trim_end_matches(HeadKind::SequenceClassification.class());
    match head.class().starts_with(&format!("{family}For")) {
        true => Ok(()),
        false => Err(Error::Argument {
            option: "`teacher`",
            found: format!("the head of {}, for a model without a head", head.class()),
            expected: format!("a head of {architecture}, which the model can have"),
        }),
    }
}

/// The weights of the teacher's head, if it answers the same question.
fn follow(student: &Head, teacher: &Head) -> Result<HeadWeights> {
    let what = |head: &Head| match head.labels() {
        [] => head.kind().name().to_owned(),
        labels => format!("{} with the labels {}", head.kind().name(), labels.join(", ")),
    };
    if (student.kind(), student.labels(), student.problem()) == (teacher.kind(), teacher.labels(), teacher.problem()) {
        return Ok(teacher.weights().clone());
    }
    Err(Error::Argument { option: "`teacher`", found: what(teacher), expected: what(student) })
}
