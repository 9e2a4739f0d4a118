//! Every bound of a structured session, in one place; does not know who keeps to them.

/// One line of an agent. Real answers of 2 MB come as one line; the host cuts what is longer and says so.
pub const LINE: usize = 16 * 1024 * 1024;
/// Of an agent's raw line, kept beside its event: enough to repair a mapping, while long texts are not kept twice.
pub const RAW_KEPT: usize = 64 * 1024;
/// One text of an event. Half of the event ring: no single event pushes all others out.
pub const TEXT_KEPT: usize = 8 * 1024 * 1024;
/// An event on its way out; longer ones are cut and fetched by their number.
pub const EVENT_OUT: usize = 256 * 1024;
/// An event beside a terminal: it crosses the link in one frame, and only requests are ever as long.
pub const EVENT_BRIEF: usize = 32 * 1024;
/// One text of a cut event: several of them still fit into [`EVENT_OUT`].
pub const TEXT_OUT: usize = 16 * 1024;
/// A line of stderr, or one that is no event.
pub const LOG_LINE: usize = 4 * 1024;
/// A short text (names, titles, reasons) that an agent or client sends.
pub const SHORT_TEXT: usize = 1024;
/// A path; Linux takes none that is longer.
pub const PATH: usize = 4096;
/// Things in one list of an event (tools, models, plan entries, options): above what real agents have.
pub const LIST: usize = 256;

/// A prompt's id.
pub const PROMPT_ID: usize = 64;
/// A prompt's text: it crosses the link in one message.
pub const PROMPT_TEXT: usize = crate::base::INPUT_MESSAGE;
/// Prompts that wait. A person queues a few; a program should wait for its answers.
pub const PROMPT_QUEUE: usize = 64;
/// Prompts whose state is remembered for those who send one again: hours of a busy session.
pub const PROMPTS_KNOWN: usize = 1024;

/// Requests (permissions and questions) open at once; more are rejected. Agents ask for a handful.
pub const REQUESTS_OPEN: usize = 64;
/// The input of one request: it must be shown whole, hashed, and fit beside others in the ring.
pub const REQUEST_INPUT: usize = 1024 * 1024;
/// All open requests together, as a viewer's first look carries them: the largest, whose command is shown beside its input, and
/// some others.
pub const REQUESTS_INPUT: usize = 4 * 1024 * 1024;
/// A viewer's first look, which must always be whole: the open requests with the option that the session adds to each, a plan (one
/// input), what the agent can do, the rules and the prompts, whose parts are bounded above and at their drivers.
pub const SUMMARY: usize = 8 * 1024 * 1024;
const _: () = {
    let asked = REQUESTS_INPUT + REQUESTS_OPEN * 4 * SHORT_TEXT;
    // Tools and commands have a name each, modes and models three texts.
    let started = 8 * LIST * SHORT_TEXT;
    let others = (RULES + PROMPT_QUEUE + 1) * 4 * SHORT_TEXT + (DECIDED + REQUESTS_TOLD) * 2 * SHORT_TEXT;
    assert!(asked + REQUEST_INPUT + started + others <= SUMMARY);
};
/// A command or path that a rule may be made of: what a person can judge by its one line.
pub const RULE_TEXT: usize = 2 * 1024;
/// What an agent may leave unread before its output waits: more than a prompt (whose characters may take six bytes each) and the
/// answers to all open requests, so that people's words alone never hold an agent back that reads only when it has said all.
pub const UNREAD: usize = 8 * 1024 * 1024;
const _: () = assert!(REQUESTS_INPUT + 6 * PROMPT_TEXT < UNREAD);
/// Closed requests whose outcome is remembered for those who answer late.
pub const REQUESTS_CLOSED: usize = 256;
/// Those of them that the summary names: of what somebody answers late, the last dialogs of a screen.
pub const REQUESTS_TOLD: usize = 32;
/// Decisions of rules and deadlines that wait to be reported: a summary goes out with the next turn of the host's loop.
pub const DECIDED: usize = 32;
/// Rules of one session: a person reads the list.
pub const RULES: usize = 64;

/// The agent answers its handshake within this; after it, the state says that it did not. Milliseconds.
pub const HANDSHAKE: u64 = 30_000;
/// An agent ends its turn so soon after an interrupt; after it, the state says that it did not. Milliseconds.
pub const INTERRUPT: u64 = 10_000;
/// Between the last result and the end of input: agents write their history after it (50 ms were enough). Milliseconds.
pub const FLUSH: u64 = 250;
