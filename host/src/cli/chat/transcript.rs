//! Conversations as files: a JSON array of messages, each with `role`, `content` and whatever else it has.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wasm_chord::Message;

use crate::cli::failure::{Failure, Result};

#[derive(Serialize, Deserialize)]
struct Record {
    role: String,
    content: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// Write a conversation.
pub(crate) fn save(messages: &[Message], path: &Path) -> Result<()> {
    let records: Vec<Record> = messages.iter().map(record).collect();
    let json = serde_json::to_string_pretty(&records).expect("text can be written as JSON");
    fs::write(path, json + "\n").map_err(|error| Failure::file("write", path, &error))
}

/// Read a conversation.
pub(crate) fn load(path: &Path) -> Result<Vec<Message>> {
    let json = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let records: Vec<Record> = serde_json::from_str(&json).map_err(|error| {
        let cause = format!("{} is not a conversation: {error}", path.display());
        Failure::work(cause, "it must be a JSON array of objects with role and content")
    })?;
    Ok(records.into_iter().map(message).collect())
}

fn record(message: &Message) -> Record {
    let extra =
        message.extra.as_deref().and_then(|extra| serde_json::from_str(extra).ok()).unwrap_or_default();
    Record { role: message.role.clone(), content: message.content.clone(), extra }
}

fn message(record: Record) -> Message {
    let extra = (!record.extra.is_empty()).then(|| Value::Object(record.extra).to_string());
    Message { role: record.role, content: record.content, extra }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_everything_it_has() {
        let extra = r#"{"name":"x","calls":[1]}"#.to_owned();
        let before = Message { role: "tool".into(), content: "a\n\"b\"".into(), extra: Some(extra) };
        let json = serde_json::to_string(&record(&before)).unwrap();
        assert_eq!(message(serde_json::from_str(&json).unwrap()), before);
    }
}
