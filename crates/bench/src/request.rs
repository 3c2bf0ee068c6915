//! Requests as complete bytes, built before the clock starts.

use std::fmt::Write as _;

/// The bytes of a chat completion request with the JSON `body`.
#[must_use]
pub fn post(body: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    post_to("/v1/chat/completions", body, headers)
}

/// The bytes of a POST request to `path` with the JSON `body`.
#[must_use]
pub fn post_to(path: &str, body: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut request = String::with_capacity(body.len() + 256);
    // Writing to a string cannot fail.
    let _ = write!(request, "POST {path} HTTP/1.1\r\nhost: qoe-bench\r\n");
    request.push_str("content-type: application/json\r\n");
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    let _ = write!(request, "content-length: {}\r\n\r\n{body}", body.len());
    request.into_bytes()
}

/// Prose of about `tokens` tokens at four bytes per token. `next` picks the words (any number is valid). The text is
/// ASCII without quotes, so it needs no escaping in JSON.
#[must_use]
pub fn prose(tokens: usize, mut next: impl FnMut() -> u32) -> String {
    const WORDS: [&str; 16] = [
        "the", "river", "of", "light", "under", "seven", "old", "bridges", "carries", "salt",
        "and", "paper", "boats", "toward", "a", "harbour",
    ];
    let mut text = String::with_capacity(tokens * 4 + 12);
    while text.len() < tokens * 4 {
        let pick = next();
        text.push_str(WORDS[(pick % 16) as usize]);
        // Random numbers make prompts differ early, so that no prefix cache finds one in another.
        if pick.is_multiple_of(7) {
            let _ = write!(text, " {:x}", pick >> 8);
        }
        text.push(' ');
    }
    text.truncate(tokens * 4);
    text
}
