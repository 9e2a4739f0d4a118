//! A JSON object in somebody else's file: what is not named stays as it is written, to the byte. Reads no file and knows no key.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// What Claude Code and `JSON.stringify(…, null, 2)` write.
const INDENT: &str = "  ";

/// Why a file cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No JSON, or JSON that is no object.
    #[error("it is no JSON object ({0}): mend it, or move it away")]
    Syntax(#[from] serde_json::Error),
    /// Something else stands where an object is needed.
    #[error("{0} is no object in it: mend it, or move the file away")]
    NoObject(String),
}

/// A whole file.
#[derive(Debug)]
pub(super) struct Document {
    members: Members,
    /// In lines, as people read it.
    is_wide: bool,
    /// White space behind the object.
    end: String,
}

/// Members in the order of the file; of two with one name the last counts, as for every reader.
#[derive(Debug, Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl Document {
    /// An empty text is an empty object.
    pub(super) fn parse(text: &str) -> Result<Self, DocumentError> {
        let whole = text.trim_end();
        if whole.is_empty() {
            return Ok(Self { members: Members::default(), is_wide: true, end: "\n".to_owned() });
        }
        let end = text.get(whole.len()..).unwrap_or_default().to_owned();
        Ok(Self { members: serde_json::from_str(whole)?, is_wide: whole.contains('\n'), end })
    }

    /// The value at this place.
    pub(super) fn at(&self, path: &[String]) -> Result<Option<Value>, DocumentError> {
        self.members.at(path, path)
    }

    /// Puts a value there; how many objects around it had to be made.
    pub(super) fn set(&mut self, path: &[String], value: &Value) -> Result<usize, DocumentError> {
        let is_wide = self.is_wide;
        self.members.set(path, value, 0, is_wide, path)
    }

    /// Takes the value there out, and up to `made` objects around it that have nothing else.
    pub(super) fn remove(&mut self, path: &[String], made: usize) -> Result<(), DocumentError> {
        let mut left = path;
        self.members.remove(left, 0, self.is_wide, path)?;
        for _ in 0..made {
            let Some((_, parent)) = left.split_last() else { break };
            if parent.is_empty() || self.at(parent)? != Some(Value::Object(serde_json::Map::new())) {
                break;
            }
            self.members.remove(parent, 0, self.is_wide, path)?;
            left = parent;
        }
        Ok(())
    }

    /// Nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.members.0.is_empty()
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.members.text(0, self.is_wide), self.end)
    }
}

impl Members {
    fn parse(raw: &RawValue, whole: &[String], rest: usize) -> Result<Self, DocumentError> {
        let place = whole.get(..whole.len().saturating_sub(rest)).unwrap_or_default();
        serde_json::from_str(raw.get()).map_err(|_| DocumentError::NoObject(place.join(".")))
    }

    fn find(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(have, _)| have == name).map(|(_, value)| &**value)
    }

    fn at(&self, path: &[String], whole: &[String]) -> Result<Option<Value>, DocumentError> {
        let Some((name, rest)) = path.split_first() else { return Ok(None) };
        match self.find(name) {
            None => Ok(None),
            Some(raw) if rest.is_empty() => Ok(Some(serde_json::from_str(raw.get())?)),
            Some(raw) => Self::parse(raw, whole, rest.len())?.at(rest, whole),
        }
    }

    fn set(
        &mut self,
        path: &[String],
        value: &Value,
        depth: usize,
        is_wide: bool,
        whole: &[String],
    ) -> Result<usize, DocumentError> {
        let Some((name, rest)) = path.split_first() else { return Ok(0) };
        let (text, made) = if rest.is_empty() {
            (written(value, depth + 1, is_wide)?, 0)
        } else {
            let found = self.find(name).map(|raw| Self::parse(raw, whole, rest.len())).transpose()?;
            let is_new = found.is_none();
            let mut inner = found.unwrap_or_default();
            let made = inner.set(rest, value, depth + 1, is_wide, whole)?;
            (inner.text(depth + 1, is_wide), made + usize::from(is_new))
        };
        let raw = RawValue::from_string(text)?;
        match self.0.iter_mut().rev().find(|(have, _)| have == name) {
            Some((_, there)) => *there = raw,
            None => self.0.push((name.clone(), raw)),
        }
        Ok(made)
    }

    fn remove(&mut self, path: &[String], depth: usize, is_wide: bool, whole: &[String]) -> Result<(), DocumentError> {
        let Some((name, rest)) = path.split_first() else { return Ok(()) };
        if rest.is_empty() {
            self.0.retain(|(have, _)| have != name);
            return Ok(());
        }
        let Some(place) = self.0.iter().rposition(|(have, _)| have == name) else { return Ok(()) };
        let Some((_, raw)) = self.0.get_mut(place) else { return Ok(()) };
        let mut inner = Self::parse(raw, whole, rest.len())?;
        inner.remove(rest, depth + 1, is_wide, whole)?;
        *raw = RawValue::from_string(inner.text(depth + 1, is_wide))?;
        Ok(())
    }

    /// At this depth; what was not touched keeps its own text, which was written for it.
    fn text(&self, depth: usize, is_wide: bool) -> String {
        if self.0.is_empty() {
            return "{}".to_owned();
        }
        let (line, last, colon) = match is_wide {
            true => (format!("\n{}", INDENT.repeat(depth + 1)), format!("\n{}", INDENT.repeat(depth)), ": "),
            false => (String::new(), String::new(), ":"),
        };
        let members: Vec<String> =
            self.0.iter().map(|(name, raw)| format!("{line}{}{colon}{}", Value::from(name.as_str()), raw)).collect();
        format!("{{{}{last}}}", members.join(","))
    }
}

/// A new value, in lines when the file is.
fn written(value: &Value, depth: usize, is_wide: bool) -> Result<String, DocumentError> {
    if !is_wide {
        return Ok(value.to_string());
    }
    Ok(serde_json::to_string_pretty(value)?.replace('\n', &format!("\n{}", INDENT.repeat(depth))))
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    const FILE: &str = "{\n  \"b\": 1e3,\n  \"a\": { \"x\":[1,\n2] },\n  \"big\": 123456789012345678901234567890,\n  \"p\": {\n    \"/q\": {\n      \"t\": false\n    }\n  }\n}\n";

    #[test]
    fn what_is_not_named_keeps_its_bytes_and_its_place() {
        let mut document = Document::parse(FILE).unwrap();
        assert_eq!(document.to_string(), FILE);
        assert_eq!(document.set(&path("p./q.t"), &true.into()).unwrap(), 0);
        assert_eq!(document.to_string(), FILE.replace("false", "true"));
        assert_eq!(document.set(&path("p./r.t"), &true.into()).unwrap(), 1);
        assert_eq!(document.set(&path("new.deep.t"), &serde_json::json!(["k"])).unwrap(), 2);
        let text = document.to_string();
        assert!(text.contains("    \"/r\": {\n      \"t\": true\n    }\n"), "{text}");
        assert!(
            text.contains("  \"new\": {\n    \"deep\": {\n      \"t\": [\n        \"k\"\n      ]\n    }\n  }\n}\n")
        );
        assert_eq!(document.at(&path("new.deep.t")).unwrap(), Some(serde_json::json!(["k"])));
        // And back, to the byte.
        document.remove(&path("new.deep.t"), 2).unwrap();
        document.remove(&path("p./r.t"), 1).unwrap();
        document.set(&path("p./q.t"), &false.into()).unwrap();
        assert_eq!(document.to_string(), FILE);
    }

    #[test]
    fn objects_that_were_there_stay_when_they_are_empty() {
        let mut document = Document::parse("{\"p\":{}}").unwrap();
        assert_eq!(document.set(&path("p.q.t"), &1.into()).unwrap(), 1);
        assert_eq!(document.to_string(), "{\"p\":{\"q\":{\"t\":1}}}");
        document.remove(&path("p.q.t"), 1).unwrap();
        assert_eq!(document.to_string(), "{\"p\":{}}");
        document.remove(&path("p"), 0).unwrap();
        assert!(document.is_empty());
    }

    #[test]
    fn what_is_no_object_is_named() {
        assert!(matches!(Document::parse("[1]"), Err(DocumentError::Syntax(_))));
        assert!(matches!(Document::parse("{\"a\":"), Err(DocumentError::Syntax(_))));
        let mut document = Document::parse("{\"p\":{\"q\":7}}").unwrap();
        let told = document.set(&path("p.q.t"), &1.into()).unwrap_err();
        assert!(told.to_string().starts_with("p.q is no object"), "{told}");
        assert!(document.at(&path("p.q.t")).is_err());
        assert!(document.at(&path("p.none.t")).unwrap().is_none());
        assert_eq!(Document::parse(" \n").unwrap().to_string(), "{}\n");
    }
}
