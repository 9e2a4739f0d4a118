//! What a JSON-lines program says, as types; does not know what follows. docs/agents.md is its contract.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::agents::few::Few;

/// One line. Which fields it has follows from its type; a field that is not there is empty.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) text: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) tool: String,
    #[serde(default)]
    pub(super) tool_kind: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default, borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) output: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) options: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) multi: bool,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) session: String,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) model: String,
}

/// A way to decide.
#[derive(Deserialize)]
pub(super) struct Choice {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    pub(super) kind: ChoiceKind,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ChoiceKind {
    AllowOnce,
    AllowAlways,
    RejectOnce,
    RejectAlways,
}

/// An answer that a question offers.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Label {
    Plain(String),
    Described {
        label: String,
        #[serde(default)]
        description: String,
    },
}

/// The options of a request; none when they are not what they should be.
pub(super) fn list<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<Vec<T>> {
    let Some(raw) = raw else { return Some(Vec::new()) };
    serde_json::from_str::<Few<T>>(raw.get()).ok().map(|few| few.0)
}
