//! The chat template: messages to one prompt.
//!
//! Every message starts with a line break, where the tokenizer cuts, so a conversation that goes on
//! shares its beginning, token for token, with the prompts before it.

use serde_json::Value;

/// The prompt of a conversation. `open`: the last message is not over, the answer goes on from it.
/// `answer`: the prompt ends where an assistant's message begins.
pub(super) fn chat_prompt(messages: &[Value], open: bool, answer: bool) -> String {
    let mut prompt = String::new();
    for message in messages {
        let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
        prompt.push_str("\n<|");
        prompt.push_str(role);
        prompt.push_str("|>");
        // An assistant's text follows directly, as it does where the model writes it.
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

/// Text, or a list of parts; parts that are not text count by their JSON.
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
