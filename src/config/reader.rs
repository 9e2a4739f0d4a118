//! Takes values out of the merged layers one by one and remembers every mistake; does not know any key by itself.
//!
//! What nobody took is unknown: the reading code is the list of keys, so the two cannot differ.

use std::collections::BTreeSet;
use std::str::FromStr;

use figment::Figment;
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::mistake::Mistake;

/// The merged values, what was taken so far, and what was wrong.
pub(super) struct Reader {
    figment: Figment,
    values: Dict,
    known: BTreeSet<Vec<String>>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    pub(super) fn new(figment: Figment, values: Dict, mistakes: Vec<Mistake>) -> Self {
        Self { figment, values, known: BTreeSet::new(), mistakes }
    }

    /// The value at this place; none when nobody set it, or (noted) when it has the wrong type.
    pub(super) fn take<T: DeserializeOwned>(&mut self, path: &[&str], allowed: &str) -> Option<T> {
        self.known.insert(path.iter().map(|&part| part.to_owned()).collect());
        let value = self.find(path)?;
        match value.deserialize() {
            Ok(taken) => Some(taken),
            Err(_) => {
                let problem = format!("{} is not what belongs here", show(&value));
                self.note(path, problem, allowed);
                None
            }
        }
    }

    /// A text that must parse.
    pub(super) fn parse<T: FromStr>(&mut self, path: &[&str], default: T, allowed: &str) -> T {
        self.parse_with(path, default, allowed, |text| text.parse().ok())
    }

    /// A text that a function turns into its meaning.
    pub(super) fn parse_with<T>(
        &mut self,
        path: &[&str],
        default: T,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.take::<String>(path, allowed) else { return default };
        match parse(&text) {
            Some(value) => value,
            None => {
                self.note(path, format!("{text:?} is not what belongs here"), allowed);
                default
            }
        }
    }

    /// A list of texts, each of which must parse.
    pub(super) fn parse_list<T>(
        &mut self,
        path: &[&str],
        default: Vec<T>,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let Some(texts) = self.take::<Vec<String>>(path, allowed) else { return default };
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(&text) {
                Some(value) => values.push(value),
                None => self.note(path, format!("{text:?} is not what belongs here"), allowed),
            }
        }
        values
    }

    /// A number within bounds.
    pub(super) fn number(&mut self, path: &[&str], default: u64, bounds: std::ops::RangeInclusive<u64>) -> u64 {
        let allowed = format!("allowed: {} to {}", bounds.start(), bounds.end());
        let Some(value) = self.take::<u64>(path, &allowed) else { return default };
        if bounds.contains(&value) {
            return value;
        }
        self.note(path, format!("{value} is out of bounds"), &allowed);
        default
    }

    /// Names of the tables below this place.
    pub(super) fn tables(&mut self, path: &[&str], allowed: &str) -> Vec<String> {
        match self.find(path) {
            None => Vec::new(),
            Some(Value::Dict(_, dict)) => dict.keys().cloned().collect(),
            Some(other) => {
                self.note(path, format!("{} is no table", show(&other)), allowed);
                self.known.insert(path.iter().map(|&part| part.to_owned()).collect());
                Vec::new()
            }
        }
    }

    /// Whether anybody set it.
    pub(super) fn is_set(&self, path: &[&str]) -> bool {
        self.find(path).is_some()
    }

    /// Notes a mistake about what stands at this place.
    pub(super) fn note(&mut self, path: &[&str], problem: impl Into<String>, allowed: &str) {
        let source = self.source(path);
        self.mistakes.push(Mistake {
            source,
            key: path.join("."),
            problem: problem.into(),
            allowed: allowed.to_owned(),
            excerpt: String::new(),
        });
    }

    /// All mistakes, those about unknown keys last.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        let values = std::mem::take(&mut self.values);
        let mut unknown = Vec::new();
        self.unknown(&values, &mut Vec::new(), &mut unknown);
        self.mistakes.extend(unknown);
        self.mistakes
    }

    /// Every key that the reading code asked for.
    #[cfg(test)]
    pub(super) fn known(&self) -> impl Iterator<Item = &Vec<String>> {
        self.known.iter()
    }

    fn unknown(&self, dict: &Dict, path: &mut Vec<String>, into: &mut Vec<Mistake>) {
        for (name, value) in dict {
            path.push(name.clone());
            if !self.known.contains(path) {
                match value {
                    Value::Dict(_, inner) if self.has_below(path) => self.unknown(inner, path, into),
                    _ => into.push(Mistake {
                        source: self.source_of(value),
                        key: path.join("."),
                        problem: "unknown key".to_owned(),
                        allowed: self.siblings(path),
                        excerpt: String::new(),
                    }),
                }
            }
            path.pop();
        }
    }

    fn has_below(&self, path: &[String]) -> bool {
        self.known.iter().any(|known| known.len() > path.len() && known.starts_with(path))
    }

    fn siblings(&self, path: &[String]) -> String {
        let parent = path.split_last().map_or(path, |(_, parent)| parent);
        let names: BTreeSet<&str> = self
            .known
            .iter()
            .filter(|known| known.starts_with(parent))
            .filter_map(|known| known.get(parent.len()))
            .map(String::as_str)
            .collect();
        format!("allowed here: {}", names.into_iter().collect::<Vec<_>>().join(", "))
    }

    fn find(&self, path: &[&str]) -> Option<Value> {
        let (first, rest) = path.split_first()?;
        let mut value = self.values.get(*first)?;
        for part in rest {
            value = match value {
                Value::Dict(_, dict) => dict.get(*part)?,
                _ => return None,
            };
        }
        Some(value.clone())
    }

    /// Of the value, else of the table that it lacks in, else nothing set it.
    fn source(&self, path: &[&str]) -> String {
        for length in (1..=path.len()).rev() {
            if let Some(value) = path.get(..length).and_then(|part| self.find(part)) {
                return self.source_of(&value);
            }
        }
        self.figment.metadata().next().map_or_else(|| "configuration".to_owned(), |first| first.name.to_string())
    }

    fn source_of(&self, value: &Value) -> String {
        let inner = match value {
            // A table has no source of its own: its first value has.
            Value::Dict(_, dict) => dict.values().next().unwrap_or(value),
            other => other,
        };
        self.figment
            .get_metadata(inner.tag())
            .or_else(|| self.figment.metadata().next())
            .map_or_else(|| "configuration".to_owned(), |metadata| metadata.name.to_string())
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, ch) => format!("{ch:?}"),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => number.to_actual().to_string(),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}
