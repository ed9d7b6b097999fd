//! A session as the guest has it: one method for each of the contract's.

use crate::contract;
use crate::error::Result;
use crate::generation::Conversation;
use crate::model::Model;

/// A session of the guest; given up when dropped.
pub(crate) struct Handle {
    model: Model,
    session: contract::Session,
}

impl Handle {
    pub(crate) fn new(model: Model, session: contract::Session) -> Self {
        Self { model, session }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn session(&self) -> &contract::Session {
        &self.session
    }

    pub(crate) fn append(&self, text: &str, special: bool) -> Result<u32> {
        Ok(self.session.append(text, special)?)
    }

    pub(crate) fn append_tokens(&self, tokens: &[u32]) -> Result<()> {
        Ok(self.session.append_tokens(tokens)?)
    }

    pub(crate) fn converse(&self, conversation: &Conversation) -> Result<u32> {
        Ok(self.session.converse(&conversation.into())?)
    }

    pub(crate) fn tokens(&self) -> Result<Vec<u32>> {
        Ok(self.session.tokens())
    }

    pub(crate) fn logits(&self) -> Result<Vec<f32>> {
        Ok(self.session.logits()?)
    }

    pub(crate) fn fork(&self) -> Result<Self> {
        Ok(Self::new(self.model.clone(), self.session.fork()))
    }

    pub(crate) fn rewind(&self, length: u32) -> Result<()> {
        self.session.rewind(length);
        Ok(())
    }
}
