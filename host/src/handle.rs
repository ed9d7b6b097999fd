//! A session as the guest has it: one method for each of the contract's, called within the limits of its instance.

use std::sync::Arc;

use wasmtime::component::ResourceAny;

use crate::error::Result;
use crate::generation::Conversation;
use crate::model::Model;

/// A session of a guest instance; given up when dropped.
pub(crate) struct Handle {
    model: Model,
    resource: ResourceAny,
}

impl Handle {
    pub(crate) fn new(model: Model, resource: ResourceAny) -> Self {
        Self { model, resource }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn resource(&self) -> ResourceAny {
        self.resource
    }

    pub(crate) fn belongs_to(&self, model: &Model) -> bool {
        Arc::ptr_eq(&self.model.loaded, &model.loaded)
    }

    pub(crate) fn append(&self, text: &str, special: bool) -> Result<u32> {
        let it = self.resource;
        self.model.call(|store, exports, _| exports.session().call_append(store, it, text, special))
    }

    pub(crate) fn append_tokens(&self, tokens: &[u32]) -> Result<()> {
        let it = self.resource;
        self.model.call(|store, exports, _| exports.session().call_append_tokens(store, it, tokens))
    }

    pub(crate) fn converse(&self, conversation: &Conversation) -> Result<u32> {
        let (it, conversation) = (self.resource, conversation.into());
        self.model.call(|store, exports, _| exports.session().call_converse(store, it, &conversation))
    }

    pub(crate) fn tokens(&self) -> Result<Vec<u32>> {
        let it = self.resource;
        self.model.call(|store, exports, _| Ok(Ok(exports.session().call_tokens(store, it)?)))
    }

    pub(crate) fn logits(&self) -> Result<Vec<f32>> {
        let it = self.resource;
        self.model.call(|store, exports, _| exports.session().call_logits(store, it))
    }

    pub(crate) fn fork(&self) -> Result<Self> {
        let it = self.resource;
        let fork = self.model.call(|store, exports, _| Ok(Ok(exports.session().call_fork(store, it)?)))?;
        Ok(Self::new(self.model.clone(), fork))
    }

    pub(crate) fn rewind(&self, length: u32) -> Result<()> {
        let it = self.resource;
        self.model.call(|store, exports, _| Ok(Ok(exports.session().call_rewind(store, it, length)?)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.model.drop_session(self.resource);
    }
}
