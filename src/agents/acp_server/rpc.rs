//! JSON-RPC 2.0, one object per line: bytes to messages, and answers to lines. Does not know what any method means.

use serde_json::{Value, json};

/// A line of a client: far above a prompt's own limit, which is told to its sender by name.
const LINE: usize = 1024 * 1024;
/// A client's own id of a request; real ones are numbers or UUIDs.
const ID: usize = 256;

/// What a client sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    Request {
        id: Value,
        method: String,
        params: Value,
    },
    Notification {
        method: String,
        params: Value,
    },
    /// To a request of ours; none: it answered with an error.
    Answer {
        id: u64,
        result: Option<Value>,
    },
    /// Cannot be answered in any other way.
    Unreadable {
        id: Value,
        error: RpcError,
    },
}

/// An answer that is an error. Codes are those of JSON-RPC, and ACP's for what is not there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(super) struct RpcError {
    code: i64,
    message: String,
    data: Value,
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: Value::Null }
    }

    fn parse(message: impl Into<String>) -> Self {
        Self::new(-32700, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    pub(super) fn no_method(method: &str) -> Self {
        let method = crate::base::printable(method, 64);
        Self::new(-32601, format!("this agent has no method {method:?}; docs/acp.md lists what it has"))
    }

    pub(super) fn params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(-32603, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(-32002, message)
    }

    /// With the gateway's own stable code.
    pub(super) fn with(mut self, data: Value) -> Self {
        self.data = data;
        self
    }
}

/// Cuts what comes in into lines, and reads each.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    /// The line is too long; what follows up to its end is thrown away.
    skips: bool,
}

impl Reader {
    /// The messages that end in these bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
            bytes = rest;
            if !self.skips && self.line.len() + piece.len() > LINE {
                self.skips = true;
                self.line = Vec::new();
                let error = RpcError::invalid(format!("a line has at most {LINE} bytes; put long texts into a file"));
                messages.push(Message::Unreadable { id: Value::Null, error });
            }
            if !self.skips {
                self.line.extend_from_slice(piece);
            }
            if end.is_some() {
                self.skips = false;
                let line = std::mem::take(&mut self.line);
                if !line.trim_ascii().is_empty() {
                    messages.push(read(&line));
                }
            }
        }
        messages
    }
}

fn read(line: &[u8]) -> Message {
    let unreadable = |id: Value, error: RpcError| Message::Unreadable { id, error };
    let mut object = match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return unreadable(Value::Null, RpcError::invalid("one JSON object per line; batches are not taken")),
        Err(error) => return unreadable(Value::Null, RpcError::parse(format!("not JSON: {error}"))),
    };
    let id = object.remove("id");
    let id_is_good = match &id {
        None | Some(Value::Number(_) | Value::Null) => true,
        Some(Value::String(text)) => text.len() <= ID,
        Some(_) => false,
    };
    if !id_is_good {
        return unreadable(Value::Null, RpcError::invalid(format!("an id is a number or at most {ID} bytes of text")));
    }
    let known = id.clone().unwrap_or(Value::Null);
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return unreadable(known, RpcError::invalid("\"jsonrpc\" must be \"2.0\""));
    }
    let params = object.remove("params").unwrap_or(Value::Null);
    match (object.remove("method"), id) {
        (Some(Value::String(method)), Some(id)) => Message::Request { id, method, params },
        (Some(Value::String(method)), None) => Message::Notification { method, params },
        (None, Some(id)) => match id.as_u64() {
            Some(id) => Message::Answer { id, result: object.remove("result") },
            // Of no request that we ever sent.
            None => Message::Answer { id: u64::MAX, result: None },
        },
        _ => unreadable(known, RpcError::invalid("neither a request, a notification nor an answer")),
    }
}

/// The line of an answer.
pub(super) fn answer(id: &Value, outcome: Result<Value, RpcError>) -> Vec<u8> {
    line(match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(RpcError { code, message, data: Value::Null }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
        Err(RpcError { code, message, data }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}})
        }
    })
}

/// The line of a request of ours.
pub(super) fn request(id: u64, method: &str, params: Value) -> Vec<u8> {
    line(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

/// The line of a notification of ours.
pub(super) fn notification(method: &str, params: Value) -> Vec<u8> {
    line(json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

fn line(value: Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(message: &Message) -> i64 {
        match message {
            Message::Unreadable { error, .. } => error.code,
            other => panic!("readable: {other:?}"),
        }
    }

    #[test]
    fn lines_come_out_however_the_bytes_are_cut() {
        let text = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}\n\r\n{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n{\"jsonrpc\":\"2.0\",\"method\":\"n\",\"params\":[1]}\n";
        let whole = Reader::default().push(text);
        assert_eq!(whole.len(), 3, "{whole:?}");
        for size in 1..20 {
            let mut reader = Reader::default();
            let pieces: Vec<Message> = text.chunks(size).flat_map(|piece| reader.push(piece)).collect();
            assert_eq!(pieces, whole, "pieces of {size}");
        }
    }

    #[test]
    fn nonsense_is_answered_and_the_next_line_is_read() {
        let cases: [(&[u8], i64); 9] = [
            (b"{", -32700),
            (b"\xff\xfe", -32700),
            (b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}]", -32600),
            (b"7", -32600),
            (b"{\"id\":1,\"method\":\"a\"}", -32600),
            (b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"a\"}", -32600),
            (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":1}", -32600),
            (b"{\"jsonrpc\":\"2.0\"}", -32600),
            (b"{\"jsonrpc\":\"2.0\",\"id\":true,\"result\":1}", -32600),
        ];
        let mut reader = Reader::default();
        for (line, wanted) in cases {
            let told = reader.push(&[line, b"\n"].concat());
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(code(&told[0]), wanted, "{}", String::from_utf8_lossy(line));
        }
        let deep = [b"[".repeat(100_000), b"\n".to_vec()].concat();
        assert_eq!(code(&reader.push(&deep)[0]), -32700);
        assert!(matches!(reader.push(b"{\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n")[..], [Message::Notification { .. }]));
    }

    #[test]
    fn a_line_without_end_is_told_once_and_not_kept() {
        let mut reader = Reader::default();
        let mut told = Vec::new();
        for _ in 0..40 {
            told.extend(reader.push(&[b'x'; 64 * 1024]));
        }
        assert_eq!(told.len(), 1);
        assert_eq!(code(&told[0]), -32600);
        assert!(reader.line.capacity() == 0);
        assert!(reader.push(b"still the same line\n").is_empty());
        assert_eq!(reader.push(b"{\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n").len(), 1);
    }
}
