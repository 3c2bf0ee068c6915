//! A line of the Mooncake trace: a JSON object with `timestamp`, `input_length`, `output_length` and `hash_ids`.

use std::time::Duration;

use serde::Deserialize;

use crate::lab::trace::row::{BLOCK, Row};

#[derive(Deserialize)]
struct Line {
    /// The time of arrival, in milliseconds.
    timestamp: u64,
    input_length: u32,
    output_length: u32,
    hash_ids: Vec<u64>,
}

const EXPECTED: &str = r#"expected {"timestamp": ms, "input_length": tokens, "output_length": tokens, "hash_ids": [block, …]}"#;

/// Parses one request.
pub(super) fn row(line: &str) -> Result<Row, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| format!("{error}; {EXPECTED}"))?;
    let blocks = line.input_length.div_ceil(BLOCK) as usize;
    if line.input_length == 0 || line.hash_ids.len() != blocks {
        let ids = line.hash_ids.len();
        return Err(format!(
            "{ids} hash_ids for {} tokens; expected {blocks}, one for every {BLOCK} tokens, and at least one token",
            line.input_length
        ));
    }
    Ok(Row {
        at: Duration::from_millis(line.timestamp),
        prompt_tokens: line.input_length,
        // Some answers of the trace are empty, but an arrival has at least one output token.
        output_tokens: line.output_length.max(1),
        blocks: line.hash_ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_needs_its_id() {
        let line = |tokens: u32| {
            format!(
                r#"{{"timestamp":1,"input_length":{tokens},"output_length":0,"hash_ids":[4,5]}}"#
            )
        };
        assert_eq!(row(&line(1_024)).unwrap().blocks, [4, 5]);
        assert_eq!(row(&line(1_024)).unwrap().output_tokens, 1);
        for wrong in [0, 512, 1_025] {
            assert!(row(&line(wrong)).unwrap_err().starts_with("2 hash_ids for"), "{wrong}");
        }
        assert!(row("{]").unwrap_err().contains("\"hash_ids\": [block, …]"));
    }
}
