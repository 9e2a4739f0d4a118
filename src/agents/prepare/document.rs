//! A JSON object in somebody else's file, edited by splicing: every byte that is not named stays. Reads no file and knows no key.

use std::fmt;
use std::ops::Range;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// What Claude Code and `JSON.stringify(…, null, 2)` write, where the file shows nothing else.
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
    text: String,
}

/// An object or a list in the text: where its brackets are, and its members.
#[derive(Debug)]
struct Container {
    span: Range<usize>,
    /// Names are empty in a list. Of two with one name the last counts, as for every reader.
    members: Vec<(String, Range<usize>)>,
}

impl Document {
    /// An empty text is an empty object.
    pub(super) fn parse(text: &str) -> Result<Self, DocumentError> {
        let text = if text.trim().is_empty() { "{}\n" } else { text };
        let document = Self { text: text.to_owned() };
        document.object(0..document.text.len())?;
        Ok(document)
    }

    /// The value at this place.
    pub(super) fn at(&self, path: &[String]) -> Result<Option<Value>, DocumentError> {
        let Some(span) = self.find(path)? else { return Ok(None) };
        Ok(Some(serde_json::from_str(self.part(span))?))
    }

    /// Puts a value there; how many objects around it had to be made.
    pub(super) fn set(&mut self, path: &[String], value: &Value) -> Result<usize, DocumentError> {
        if let Some(span) = self.find(path)? {
            self.text.replace_range(span, &value.to_string());
            return Ok(0);
        }
        // The deepest object that is there gets the rest of the path as one new member.
        let mut known = path.len().saturating_sub(1);
        while known > 0 && path.get(..known).map(|path| self.find(path)).transpose()?.flatten().is_none() {
            known -= 1;
        }
        let (parents, rest) = path.split_at(known);
        let Some((name, inner)) = rest.split_first() else { return Ok(0) };
        let span = self.find(parents)?.unwrap_or(0..self.text.len());
        let object = self.object(span).map_err(|_| DocumentError::NoObject(parents.join(".")))?;
        let made = inner
            .iter()
            .rev()
            .fold(value.clone(), |value, name| Value::Object(serde_json::Map::from_iter([(name.clone(), value)])));
        self.insert(&object, Some(name), &made, parents.len());
        Ok(inner.len())
    }

    /// Puts a text behind the last of the list there.
    pub(super) fn append(&mut self, path: &[String], item: &Value) -> Result<(), DocumentError> {
        let Some(span) = self.find(path)? else { return Ok(()) };
        let list = self.list(span)?;
        self.insert(&list, None, item, path.len());
        Ok(())
    }

    /// Takes this item out of the list there.
    pub(super) fn remove_item(&mut self, path: &[String], item: &Value) -> Result<(), DocumentError> {
        let Some(span) = self.find(path)? else { return Ok(()) };
        let list = self.list(span)?;
        let is_it = |(_, span): &(String, Range<usize>)| {
            serde_json::from_str::<Value>(self.part(span.clone())).is_ok_and(|value| value == *item)
        };
        if let Some(place) = list.members.iter().rposition(is_it) {
            self.cut(&list, place);
        }
        Ok(())
    }

    /// Takes the value there out, and up to `made` objects around it that have nothing else.
    pub(super) fn remove(&mut self, path: &[String], made: usize) -> Result<(), DocumentError> {
        let mut path = path;
        for _ in 0..=made {
            let Some((name, parents)) = path.split_last() else { break };
            let Some(span) = self.find(parents)? else { break };
            let object = self.object(span)?;
            let Some(place) = object.members.iter().rposition(|(have, _)| have == name) else { break };
            self.cut(&object, place);
            if object.members.len() > 1 {
                break;
            }
            path = parents;
        }
        Ok(())
    }

    /// Nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.object(0..self.text.len()).is_ok_and(|object| object.members.is_empty())
    }

    fn part(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    fn find(&self, path: &[String]) -> Result<Option<Range<usize>>, DocumentError> {
        let mut span = 0..self.text.len();
        for (depth, name) in path.iter().enumerate() {
            let place = path.get(..depth).unwrap_or_default();
            let object = self.object(span).map_err(|_| DocumentError::NoObject(place.join(".")))?;
            match object.members.into_iter().rev().find(|(have, _)| have == name) {
                Some((_, value)) => span = value,
                None => return Ok(None),
            }
        }
        Ok(Some(span))
    }

    fn object(&self, span: Range<usize>) -> Result<Container, DocumentError> {
        let text = self.part(span.clone());
        let Members(members) = serde_json::from_str(text)?;
        Ok(self.container(span, members))
    }

    fn list(&self, span: Range<usize>) -> Result<Container, DocumentError> {
        let items: Vec<&RawValue> = serde_json::from_str(self.part(span.clone()))?;
        Ok(self.container(span, items.into_iter().map(|raw| (String::new(), raw)).collect()))
    }

    /// Borrowed values lie in the text itself: their addresses are their places.
    fn container(&self, span: Range<usize>, members: Vec<(String, &RawValue)>) -> Container {
        let start = self.text.as_ptr().addr();
        let place = |raw: &RawValue| {
            let from = raw.get().as_ptr().addr().saturating_sub(start);
            from..from + raw.get().len()
        };
        let text = self.part(span.clone());
        let (front, back) = (text.len() - text.trim_start().len(), text.len() - text.trim_end().len());
        Container {
            span: span.start + front..span.end - back,
            members: members.into_iter().map(|(name, raw)| (name, place(raw))).collect(),
        }
    }

    /// Behind the last member, in its style.
    fn insert(&mut self, into: &Container, name: Option<&str>, value: &Value, depth: usize) {
        let (opens, closes) = (into.span.start + 1, into.span.end - 1);
        let (at, line, colon, first) = match into.members.last() {
            Some((_, last)) => {
                let before = into.members.iter().rev().nth(1).map(|(_, before)| before.end);
                let gap = self.part(before.unwrap_or(opens)..last.start);
                // Behind the comma; a first member has none, though its name may.
                let comma = before.and_then(|_| gap.find(','));
                let key = gap.get(comma.map_or(0, |comma| comma + 1)..).unwrap_or_default();
                let line = key.get(..key.len() - key.trim_start().len()).unwrap_or_default();
                let colon = gap.get(gap.trim_end().len()..).unwrap_or_default();
                (last.end..last.end, line.to_owned(), colon.to_owned(), ",")
            }
            None if self.is_wide() => (opens..closes, self.line(depth + 1), " ".to_owned(), ""),
            None => (opens..closes, String::new(), String::new(), ""),
        };
        let key = name.map(|name| format!("{}:{colon}", Value::from(name))).unwrap_or_default();
        // A person reads a file of lines; one in a single line stays one.
        let value = if line.contains('\n') { self.written(value, depth + 1) } else { value.to_string() };
        let end = if first.is_empty() && line.contains('\n') { self.line(depth) } else { String::new() };
        self.text.replace_range(at, &format!("{first}{line}{key}{value}{end}"));
    }

    /// With the comma that is one too many then.
    fn cut(&mut self, from: &Container, place: usize) {
        let end = |place: usize| from.members.get(place).map(|(_, span)| span.end);
        let before = place.checked_sub(1).and_then(end);
        let span = match (before, end(place), from.members.get(place + 1)) {
            (Some(before), Some(end), _) => before..end,
            (None, Some(end), Some((_, next))) => {
                let comma = self.part(end..next.start).find(',').map_or(0, |comma| comma + 1);
                from.span.start + 1..end + comma
            }
            _ => from.span.start + 1..from.span.end - 1,
        };
        self.text.replace_range(span, "");
    }

    fn is_wide(&self) -> bool {
        self.text.trim_end().contains('\n') || self.text.trim_end() == "{}"
    }

    /// A new line at this depth, indented as the file's first is.
    fn line(&self, depth: usize) -> String {
        let inside = self.text.trim_start().strip_prefix('{').and_then(|inside| inside.strip_prefix('\n'));
        let unit = inside.map(|inside| inside.get(..inside.len() - inside.trim_start().len()).unwrap_or_default());
        let unit = unit.filter(|unit| !unit.is_empty() && !unit.contains('\n')).unwrap_or(INDENT);
        format!("\n{}", unit.repeat(depth))
    }

    fn written(&self, value: &Value, depth: usize) -> String {
        let members: Vec<String> = match value {
            Value::Object(map) if !map.is_empty() => map
                .iter()
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), self.written(value, depth + 1)))
                .collect(),
            Value::Array(list) if !list.is_empty() => list.iter().map(|value| self.written(value, depth + 1)).collect(),
            other => return other.to_string(),
        };
        let (line, last) = (self.line(depth + 1), self.line(depth));
        let all = members.iter().map(|member| format!("{line}{member}")).collect::<Vec<_>>().join(",");
        if value.is_object() { format!("{{{all}{last}}}") } else { format!("[{all}{last}]") }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// In the order of the text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
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

    /// A file of 4 spaces, with what readers usually lose.
    const FILE: &str = "{\n    \"b\" :1e3, \"\\u00e9\": \"\\/\",\n    \"big\": 123456789012345678901234567890,\n    \"p\": {\n        \"/q\": {\n            \"t\": false\n        }\n    },\n    \"e\": {},\n    \"l\": [ 1,\n2 ]\n}\r\n";

    #[test]
    fn what_is_not_named_keeps_its_bytes_and_comes_back() {
        let mut document = Document::parse(FILE).unwrap();
        assert_eq!(document.set(&path("p./q.t"), &true.into()).unwrap(), 0);
        assert_eq!(document.to_string(), FILE.replace("false", "true"));
        assert_eq!(document.set(&path("p./r.t"), &true.into()).unwrap(), 1);
        assert_eq!(document.set(&path("new.deep.t"), &serde_json::json!(["k"])).unwrap(), 2);
        assert_eq!(document.set(&path("e.t"), &1.into()).unwrap(), 0);
        document.append(&path("l"), &3.into()).unwrap();
        let text = document.to_string();
        for part in [
            "            \"t\": true\n        },\n        \"/r\": {\n            \"t\": true\n        }\n    },\n",
            "    \"e\": {\n        \"t\": 1\n    },\n    \"l\": [ 1,\n2,\n3 ],\n    \"new\": {\n        \"deep\": {\n            \"t\": [\n                \"k\"\n            ]\n        }\n    }\n}\r\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(document.at(&path("new.deep.t")).unwrap(), Some(serde_json::json!(["k"])));
        document.remove_item(&path("l"), &3.into()).unwrap();
        document.remove(&path("e.t"), 0).unwrap();
        document.remove(&path("new.deep.t"), 2).unwrap();
        document.remove(&path("p./r.t"), 1).unwrap();
        document.set(&path("p./q.t"), &false.into()).unwrap();
        assert_eq!(document.to_string(), FILE);
    }

    #[test]
    fn each_member_can_be_taken_out_of_its_place() {
        let of = |name: &str| {
            let mut document = Document::parse("{\"a\": 1, \"b\": [7,8],\"c\":{\"d\":1}}").unwrap();
            document.remove(&path(name), 0).unwrap();
            document.to_string()
        };
        assert_eq!(of("a"), "{ \"b\": [7,8],\"c\":{\"d\":1}}");
        assert_eq!(of("b"), "{\"a\": 1,\"c\":{\"d\":1}}");
        assert_eq!(of("c"), "{\"a\": 1, \"b\": [7,8]}");
        assert_eq!(of("c.d"), "{\"a\": 1, \"b\": [7,8],\"c\":{}}");
        assert_eq!(of("none"), of("none.at.all"));
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
        let mut new = Document::parse(" \n").unwrap();
        new.set(&path("a.b"), &true.into()).unwrap();
        assert_eq!(new.to_string(), "{\n  \"a\": {\n    \"b\": true\n  }\n}\n");
    }
}
