//! The chat template, which turns messages into one prompt.
//!
//! Every message starts with a line break, where the tokenizer splits. The next turn of a conversation therefore begins
//! with exactly the tokens of the turn before.

use serde_json::Value;

/// The prompt of a conversation. With `open`, the answer continues the last message. With `answer`, the prompt ends
/// with the header of an assistant's message.
pub(super) fn chat_prompt(messages: &[Value], open: bool, answer: bool) -> String {
    let mut prompt = String::new();
    for message in messages {
        let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
        prompt.push_str("\n<|");
        prompt.push_str(role);
        prompt.push_str("|>");
        // The model writes its text directly after the header, so an earlier answer must follow it directly too.
        if role != "assistant" {
            prompt.push('\n');
        }
        push_content(&mut prompt, message.get("content"));
    }
    if answer && !open {
        prompt.push_str("\n<|assistant|>");
    }
    prompt
}

/// Appends a text, or the texts of a list of parts. Other parts are appended as JSON.
fn push_content(prompt: &mut String, content: Option<&Value>) {
    match content {
        Some(Value::String(text)) => prompt.push_str(text),
        Some(Value::Array(parts)) => {
            for part in parts {
                match part.get("text").and_then(Value::as_str) {
                    Some(text) => prompt.push_str(text),
                    None => prompt.push_str(&part.to_string()),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conversation_that_goes_on_begins_like_the_one_before() {
        let first = json!([{"role": "user", "content": "hi"}]);
        let next = json!([
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": " the river"},
            {"role": "user", "content": "more"},
        ]);
        let first = chat_prompt(first.as_array().unwrap(), false, true);
        let next = chat_prompt(next.as_array().unwrap(), false, true);
        assert!(next.starts_with(&format!("{first} the river\n")), "{next}");
    }

    #[test]
    fn a_final_message_can_stay_open() {
        let messages = json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": " the river"},
        ]);
        let prompt = chat_prompt(messages.as_array().unwrap(), true, false);
        assert_eq!(prompt, "\n<|user|>\nhi\n<|assistant|> the river");
    }
}
