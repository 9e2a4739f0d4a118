//! What the verbs are for, as text; does not know who asks.

/// One verb: name, usage, one line about it, and what else there is to say.
struct Entry {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    more: &'static str,
}

const ENTRIES: [Entry; 26] = [
    Entry {
        name: "ls",
        usage: "ls [--json]",
        about: "list your sessions",
        more: "--json prints an array of objects: name, id, agent, directory, state, exit, size, viewers, created, \
               title, account.",
    },
    Entry {
        name: "new",
        usage: "new AGENT [DIR] [--name N] [--mode M] [--OPTION VALUE] [-- ARGS]",
        about: "start a session",
        more: "DIR is absolute or relative to your first root. --OPTION is one that the configuration declares for the \
               agent (--resume, --model …); an option that may stand alone is written last or as --OPTION=. ARGS go to \
               the agent where free_args is on. With a terminal you are attached to it.",
    },
    Entry {
        name: "attach",
        usage: "attach NAME [--view] [--from start|OFFSET]",
        about: "look at a session and type into it",
        more: "Without a terminal: every byte from now on, or from the oldest one held (--from start) or from OFFSET; \
               status 74 when bytes were lost. --view looks only. Leave with Ctrl-] then d; Ctrl-] twice sends one. A \
               structured session is a conversation: Enter sends, Alt-Enter begins a line, Ctrl-C interrupts the \
               agent, keys answer what it asks; a bare program, without a terminal, is joined to your standard input and \
               output.",
    },
    Entry { name: "send", usage: "send NAME TEXT… [--no-enter]", about: "type text and press Enter", more: "" },
    Entry { name: "show", usage: "show NAME", about: "print the screen as text", more: "" },
    Entry {
        name: "stop",
        usage: "stop NAME",
        about: "let a structured session's agent end in good order",
        more: "Its turn is interrupted, prompts that wait are cancelled, then its input ends. One that has not ended \
               within 12 s is left as it is: kill ends it. On the gateway's machine `portcullis stop --all` ends every \
               session, without a key.",
    },
    Entry { name: "kill", usage: "kill NAME", about: "end the agent", more: "" },
    Entry {
        name: "restart",
        usage: "restart NAME",
        about: "end the agent and start it again under the same name",
        more: "",
    },
    Entry { name: "rename", usage: "rename NAME NEW-NAME", about: "give a session another name", more: "" },
    Entry { name: "forget", usage: "forget NAME", about: "remove a session that has ended from the list", more: "" },
    Entry {
        name: "prompt",
        usage: "prompt NAME [--json] [--no-wait] [--id ID] TEXT…",
        about: "give a structured session's agent something to do, print its answer",
        more: "Everything that the agent says in the turn is printed as it comes, one message below the other; what \
               would act on a terminal is shown as \\u{…}. Status 74 when the end of a message was lost. --json prints \
               every event of the turn as a line of JSON, exactly. --no-wait prints the prompt's id once the agent's \
               host has it. The same ID (of your making) with the same text again is the same prompt.",
    },
    Entry {
        name: "cancel",
        usage: "cancel NAME ID",
        about: "take back a prompt that waits",
        more: "ID as `prompt --no-wait` prints it. One that the agent has is ended by interrupt.",
    },
    Entry {
        name: "events",
        usage: "events NAME [--from start|NUMBER | --whole NUMBER] [--raw]",
        about: "print what happens in a structured session, one JSON object a line",
        more: "From now on, from the oldest event held, or from event NUMBER; status 74 when events were lost. --whole \
               prints one event that came cut, whole; the newest 16 MiB of such are kept. --raw keeps the agent's own line beside each.",
    },
    Entry {
        name: "approvals",
        usage: "approvals [--json]",
        about: "list what agents wait for",
        more: "--json prints an array of objects: id, session, tool, summary, digest, options.",
    },
    Entry {
        name: "approve",
        usage: "approve ID [--always] [--reason TEXT…]",
        about: "let an agent do what it asks for",
        more: "ID as `approvals` shows it, or its beginning. --always: also what is like it, in this session.",
    },
    Entry {
        name: "deny",
        usage: "deny ID [--always] [--reason TEXT…]",
        about: "refuse it",
        more: "The agent is told the reason.",
    },
    Entry {
        name: "answer",
        usage: "answer ID ANSWER…",
        about: "answer an agent's question",
        more: "One word for each part of the question, quoted as for a shell; several labels of one part with commas.",
    },
    Entry {
        name: "eof",
        usage: "eof NAME",
        about: "end the input of a bare program",
        more: "What it still says is kept and shown; its session lives until it ends. Not while somebody else writes to it.",
    },
    Entry { name: "interrupt", usage: "interrupt NAME", about: "end the agent's turn", more: "" },
    Entry { name: "mode", usage: "mode NAME MODE", about: "set how much the agent asks", more: "" },
    Entry { name: "model", usage: "model NAME MODEL", about: "set the agent's model", more: "" },
    Entry {
        name: "rules",
        usage: "rules NAME",
        about: "list what is allowed in this session without asking",
        more: "",
    },
    Entry { name: "revoke", usage: "revoke NAME RULE", about: "take such a rule back", more: "" },
    Entry {
        name: "acp",
        usage: "acp [AGENT [DIR]]",
        about: "be an ACP agent for an editor: ssh -T HOST acp AGENT",
        more: "JSON-RPC on standard input and output. Without AGENT the first that has mode structured. DIR is for \
               sessions whose directory in the editor is outside your roots.",
    },
    Entry { name: "help", usage: "help [VERB]", about: "this text, or more about one verb", more: "" },
    Entry {
        name: "AGENT",
        usage: "AGENT [DIR] [-- ARGS]",
        about: "attach to the agent's session in DIR, or start it",
        more: "Of several the one last typed into. Without DIR in your first root. Needs a terminal: ssh -t.",
    },
];

/// The usage line of a verb; of the bare agent for every other word.
pub(crate) fn usage(verb: &str) -> &'static str {
    entry(verb).map_or("AGENT [DIR] [-- ARGS]", |entry| entry.usage)
}

/// Help about everything, or about one verb; none when there is no such verb. Lines end with LF.
pub(crate) fn help_text(verb: Option<&str>) -> Option<String> {
    match verb {
        None => Some(overview()),
        Some(verb) => entry(verb).map(about),
    }
}

fn entry(verb: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name.eq_ignore_ascii_case(verb))
}

fn about(entry: &Entry) -> String {
    let mut text = format!("{}\n    {}\n", entry.usage, entry.about);
    for line in wrapped(entry.more, 72) {
        text.push_str("    ");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Every verb with its usage and what it is for, two lines each.
pub(crate) fn verb_lines() -> String {
    ENTRIES.iter().map(|entry| format!("  {}\n      {}\n", entry.usage, entry.about)).collect()
}

fn overview() -> String {
    let mut text = String::from("usage: VERB … | AGENT [DIR] | SESSION   (ssh -t HOST … for a terminal)\n\n");
    text.push_str(&verb_lines());
    text.push_str("\nA bare session name attaches. No word, on a terminal: a list to choose from.\n");
    text.push_str("Leave a session with Ctrl-] then d; it lives on.\n");
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_the_overview_and_has_its_own_text() {
        let all = help_text(None).unwrap();
        for entry in &ENTRIES {
            assert!(all.contains(entry.usage), "{}", entry.name);
            assert!(help_text(Some(entry.name)).unwrap().starts_with(entry.usage));
        }
        assert!(help_text(Some("dance")).is_none());
        assert!(all.lines().all(|line| line.chars().count() <= 80));
    }
}
