//! Lists of which only the beginning is kept; does not know what is in them.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::limits::LIST;

/// The first [`LIST`] of a list: a line of an agent must not cost many times its size.
pub(crate) struct Few<T>(pub(crate) Vec<T>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Beginning(PhantomData))
    }
}

struct Beginning<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Beginning<T> {
    type Value = Few<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Few<T>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < LIST {
            match sequence.next_element()? {
                Some(one) => kept.push(one),
                None => return Ok(Few(kept)),
            }
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Few(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_read_to_its_end_and_kept_from_its_beginning() {
        let text = serde_json::to_string(&(0..10 * LIST).collect::<Vec<_>>()).unwrap();
        let few: Few<usize> = serde_json::from_str(&text).unwrap();
        assert_eq!((few.0.len(), few.0.last()), (LIST, Some(&(LIST - 1))));
        assert!(serde_json::from_str::<Few<usize>>("[1,2").is_err());
    }
}
