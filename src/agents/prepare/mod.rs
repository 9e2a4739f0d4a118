//! What an agent's own settings need before nobody is asked at its first start, as edits that can be taken back; writes no file.

mod claude;
mod document;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use claude::{ClaudeNeeds, claude};
use document::Document;
pub use document::DocumentError;

/// Something that a file shall hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Names from the top of the file.
    pub path: Vec<String>,
    /// What for, for people.
    pub why: &'static str,
    /// How.
    pub kind: WishKind,
}

/// How a wish is met.
#[derive(Debug, Clone, PartialEq)]
pub enum WishKind {
    /// This value, unless the person has another one. `false` is what Claude Code itself writes before anybody was asked, so
    /// `true` may take its place.
    Value(Value),
    /// This text in a list, unless it is in the list at `unless`.
    Item { text: String, unless: Vec<String> },
}

/// One edit, and what takes it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Names from the top of the file.
    pub path: Vec<String>,
    /// What stood there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What stands there now; of a list the one text that was added.
    pub after: Value,
    /// `after` was added to a list.
    #[serde(default)]
    pub is_item: bool,
    /// The list itself is new.
    #[serde(default)]
    pub is_new_list: bool,
    /// Objects around it that were made.
    #[serde(default)]
    pub made: usize,
}

/// What a file becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The whole file.
    pub text: String,
    /// What was done, each with the reason of its wish.
    pub edits: Vec<(Edit, &'static str)>,
    /// What the person has otherwise, which stays: where, and what it is.
    pub kept: Vec<(Vec<String>, Value)>,
}

/// A file after edits were taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct Undone {
    /// The whole file.
    pub text: String,
    /// Nothing is in it any more.
    pub is_empty: bool,
    /// What was taken back.
    pub undone: Vec<Edit>,
    /// What somebody has changed since, which stays.
    pub kept: Vec<Edit>,
}

/// Meets the wishes that are not met yet. `text`: the file as it is, empty where there is none.
pub fn merge(text: &str, wishes: &[Wish]) -> Result<Merged, DocumentError> {
    let mut document = Document::parse(text)?;
    let (mut edits, mut kept) = (Vec::new(), Vec::new());
    for Wish { path, why, kind } in wishes {
        let found = document.at(path)?;
        match kind {
            WishKind::Value(wanted) => match found {
                Some(there) if there == *wanted => {}
                Some(there) if there != Value::Bool(false) || *wanted != Value::Bool(true) => {
                    kept.push((path.clone(), there));
                }
                before => {
                    let made = document.set(path, wanted)?;
                    let (path, after) = (path.clone(), wanted.clone());
                    edits.push((Edit { path, before, after, is_item: false, is_new_list: false, made }, *why));
                }
            },
            WishKind::Item { text, unless } => {
                let item = Value::from(text.as_str());
                let refused = document.at(unless)?.is_some_and(|list| holds(&list, &item));
                match &found {
                    Some(there) if !there.is_array() => kept.push((path.clone(), there.clone())),
                    _ if refused => kept.push((unless.clone(), item)),
                    Some(list) if holds(list, &item) => {}
                    _ => {
                        let made = match found {
                            None => document.set(path, &Value::Array(vec![item.clone()]))?,
                            Some(_) => document.append(path, &item).map(|()| 0)?,
                        };
                        let (path, is_new_list) = (path.clone(), found.is_none());
                        edits.push((Edit { path, before: None, after: item, is_item: true, is_new_list, made }, *why));
                    }
                }
            }
        }
    }
    Ok(Merged { text: document.to_string(), edits, kept })
}

/// Takes edits back, the last first; of what was changed since nothing is touched.
pub fn undo(text: &str, edits: &[Edit]) -> Result<Undone, DocumentError> {
    let mut document = Document::parse(text)?;
    let (mut undone, mut kept) = (Vec::new(), Vec::new());
    for edit in edits.iter().rev() {
        let found = document.at(&edit.path)?;
        match (found, edit.is_item) {
            (Some(Value::Array(list)), true) if list.contains(&edit.after) => match list.len() {
                1 if edit.is_new_list => document.remove(&edit.path, edit.made)?,
                _ => document.remove_item(&edit.path, &edit.after)?,
            },
            (Some(there), false) if there == edit.after => match &edit.before {
                Some(before) => document.set(&edit.path, before).map(drop)?,
                None => document.remove(&edit.path, edit.made)?,
            },
            // The program has dropped it itself.
            (None, _) => continue,
            _ => {
                kept.push(edit.clone());
                continue;
            }
        }
        undone.push(edit.clone());
    }
    Ok(Undone { is_empty: document.is_empty(), text: document.to_string(), undone, kept })
}

fn holds(list: &Value, item: &Value) -> bool {
    list.as_array().is_some_and(|list| list.contains(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(path: &str, value: Value) -> Wish {
        let path = path.split('.').map(str::to_owned).collect();
        Wish { path, why: "because", kind: WishKind::Value(value) }
    }

    fn item(text: &str) -> Wish {
        let names = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let kind = WishKind::Item { text: text.to_owned(), unless: names("keys.rejected") };
        Wish { path: names("keys.approved"), why: "because", kind }
    }

    fn edits(merged: &Merged) -> Vec<Edit> {
        merged.edits.iter().map(|(edit, _)| edit.clone()).collect()
    }

    #[test]
    fn a_person_keeps_what_is_there_and_gets_everything_back() {
        let file =
            "{\n  \"theme\": \"light\",\n  \"projects\": {\n    \"/p\": {\n      \"trusted\": false\n    }\n  }\n}";
        let wishes = [
            value("theme", "dark".into()),
            value("done", true.into()),
            value("projects./p.trusted", true.into()),
            item("k1"),
        ];
        let merged = merge(file, &wishes).unwrap();
        assert_eq!(merged.kept, [(vec!["theme".to_owned()], Value::from("light"))]);
        assert_eq!(merged.edits.len(), 3);
        let again = merge(&merged.text, &wishes).unwrap();
        assert!(again.edits.is_empty() && again.text == merged.text, "met once is met");
        let back = undo(&merged.text, &edits(&merged)).unwrap();
        assert_eq!((back.text.as_str(), back.undone.len(), back.kept.len()), (file, 3, 0));
    }

    #[test]
    fn what_was_changed_since_stays() {
        let merged = merge("", &[value("a", true.into()), value("b", 1.into()), item("k1"), item("k2")]).unwrap();
        let changed = merged.text.replace("true", "false").replace("\"k2\"", "\"k3\"");
        let back = undo(&changed, &edits(&merged)).unwrap();
        assert_eq!((back.undone.len(), back.kept.len(), back.is_empty), (2, 2, false));
        let left: Value = serde_json::from_str(&back.text).unwrap();
        assert_eq!(left, serde_json::json!({ "a": false, "keys": { "approved": ["k3"] } }));
        let all = undo(&merged.text, &edits(&merged)).unwrap();
        assert!(all.is_empty, "{}", all.text);
    }

    #[test]
    fn a_key_that_the_person_refused_is_not_approved() {
        let file = r#"{"keys":{"approved":["a"],"rejected":["k1"]}}"#;
        let merged = merge(file, &[item("k1"), item("k2")]).unwrap();
        assert_eq!(merged.kept.len(), 1);
        assert_eq!(merged.text, r#"{"keys":{"approved":["a","k2"],"rejected":["k1"]}}"#);
        assert_eq!(undo(&merged.text, &edits(&merged)).unwrap().text, file);
        // A list that was there stays, also an empty one.
        let file = "{\"keys\": {\"approved\": [ ]}}";
        let merged = merge(file, &[item("k1")]).unwrap();
        assert_eq!(merged.text, "{\"keys\": {\"approved\": [\"k1\"]}}");
        let remembered: Vec<Edit> = serde_json::from_str(&serde_json::to_string(&edits(&merged)).unwrap()).unwrap();
        assert_eq!(undo(&merged.text, &remembered).unwrap().text, "{\"keys\": {\"approved\": []}}");
        // A list that is none is nobody's to mend.
        let merged = merge(r#"{"keys":{"approved":"all"}}"#, &[item("k1")]).unwrap();
        assert!(merged.edits.is_empty() && merged.kept.len() == 1);
    }
}
