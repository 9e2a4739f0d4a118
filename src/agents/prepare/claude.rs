//! What Claude Code in its terminal asks at a first start, and the settings that answer it (measured with 2.1.197); reads no file.

use super::{Wish, WishKind};

/// Characters of a long API key that stand in the file.
const KEY_END: usize = 20;

/// What differs from one person to the next.
#[derive(Debug, Default)]
pub struct ClaudeNeeds {
    /// Real paths of the directories that the operator trusts; what lies below is trusted with them.
    pub trusted: Vec<String>,
    /// The key in the agent's environment, about which it would ask with "no" as the default.
    pub api_key: Option<String>,
}

/// In the order in which the program asks.
pub fn claude(needs: &ClaudeNeeds) -> Vec<Wish> {
    let value = |path: &[&str], value: serde_json::Value, why| Wish {
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        why,
        kind: WishKind::Value(value),
    };
    let introduction = "no introduction, which ends where the vendor cannot be reached";
    let mut wishes = vec![value(&["hasCompletedOnboarding"], true.into(), introduction)];
    wishes.extend(needs.trusted.iter().map(|directory| {
        value(&["projects", directory, "hasTrustDialogAccepted"], true.into(), "the operator trusts this root")
    }));
    wishes.extend(needs.api_key.as_deref().map(|key| Wish {
        path: ["customApiKeyResponses", "approved"].map(str::to_owned).to_vec(),
        why: "ANTHROPIC_API_KEY is used without a question",
        kind: WishKind::Item {
            text: end_of(key).to_owned(),
            unless: ["customApiKeyResponses", "rejected"].map(str::to_owned).to_vec(),
        },
    }));
    wishes
}

fn end_of(key: &str) -> &str {
    let from = key.char_indices().rev().nth(KEY_END - 1).map_or(0, |(at, _)| at);
    key.get(from..).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::prepare::merge;

    #[test]
    fn an_empty_home_gets_what_is_asked_for_and_no_more() {
        let needs =
            ClaudeNeeds { trusted: vec!["/srv/a.b".into()], api_key: Some("sk-ant-0123456789-0123456789-é".into()) };
        let merged = merge("", &claude(&needs)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&merged.text).unwrap();
        let wanted = serde_json::json!({
            "hasCompletedOnboarding": true,
            "projects": { "/srv/a.b": { "hasTrustDialogAccepted": true } },
            "customApiKeyResponses": { "approved": ["3456789-0123456789-é"] },
        });
        assert_eq!(value, wanted);
        assert_eq!(end_of("short"), "short");
    }
}
