//! What a task is run on.

use std::sync::Arc;

use lacuna_model::Error as ModelError;

use super::backbone::Backbone;
use crate::error::Result;
use crate::heads::{Head, HeadKind};

/// An encoder with the head that tasks need. Clones share both.
#[derive(Debug, Clone)]
pub struct TaskModel {
    backbone: Arc<dyn Backbone>,
    head: Option<Arc<Head>>,
}

impl TaskModel {
    /// A model without a head, for embeddings.
    pub fn new(backbone: Arc<dyn Backbone>) -> TaskModel {
        TaskModel { backbone, head: None }
    }

    /// The same model with a head.
    #[must_use]
    pub fn with_head(self, head: impl Into<Arc<Head>>) -> TaskModel {
        TaskModel { head: Some(head.into()), ..self }
    }

    /// The same head on another backbone: a session for each user, or the f32 reference.
    #[must_use]
    pub fn on(&self, backbone: Arc<dyn Backbone>) -> TaskModel {
        TaskModel { backbone, head: self.head.clone() }
    }

    /// The encoder.
    pub fn backbone(&self) -> Arc<dyn Backbone> {
        Arc::clone(&self.backbone)
    }

    /// The head, if the model has one.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_deref()
    }

    /// The head that a task needs.
    ///
    /// # Errors
    /// [`NoHead`](ModelError::NoHead) without a head, [`WrongHead`](ModelError::WrongHead) for another one.
    pub(super) fn require_head(&self, kind: HeadKind) -> Result<Arc<Head>> {
        let missing = || ModelError::NoHead { path: "task model".into(), found: "none".into(), expected: kind.class() };
        let head = self.head.as_ref().ok_or_else(missing)?;
        head.require(kind)?;
        Ok(Arc::clone(head))
    }
}
