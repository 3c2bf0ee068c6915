//! A line of the Azure LLM inference trace: `TIMESTAMP,ContextTokens,GeneratedTokens`.

use std::time::Duration;

use jiff::civil::{DateTime, date};

use crate::lab::trace::row::Row;

/// The first line of every such file.
pub(super) const HEAD: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

/// Parses one request. Its time counts from the beginning of 2000; only differences are used.
pub(super) fn row(line: &str) -> Result<Row, String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let [time, prompt, output] = cells[..] else {
        return Err(format!("{} columns; expected {HEAD}", cells.len()));
    };
    Ok(Row {
        at: moment(time)?,
        prompt_tokens: tokens(prompt)?,
        output_tokens: tokens(output)?,
        blocks: Vec::new(),
    })
}

fn moment(cell: &str) -> Result<Duration, String> {
    let expected = || {
        format!("{cell:?} is no time; expected 2000 or later, as in 2023-11-16 18:15:46.6805900")
    };
    let time: DateTime = cell.parse().map_err(|_| expected())?;
    let since = time.duration_since(date(2000, 1, 1).at(0, 0, 0, 0));
    since.try_into().map_err(|_| expected())
}

fn tokens(cell: &str) -> Result<u32, String> {
    let tokens = cell.parse::<u32>().ok().filter(|&tokens| tokens > 0);
    tokens.ok_or_else(|| format!("{cell:?} is no count of tokens; expected a number from 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_seven_digits_or_none() {
        let at = |time: &str| row(&format!("{time},1,1")).map(|row| row.at);
        let whole = at("2023-11-16 18:15:46").unwrap();
        assert_eq!(
            at("2023-11-16 18:15:46.6805900").unwrap() - whole,
            Duration::from_nanos(680_590_000)
        );
        for bad in ["yesterday", "1999-12-31 23:59:59", "2023-13-01 00:00:00"] {
            assert!(at(bad).unwrap_err().contains(bad));
        }
    }

    #[test]
    fn bad_cells_are_named() {
        assert!(row("2023-11-16 18:15:46,5").unwrap_err().starts_with("2 columns"));
        assert!(row("2023-11-16 18:15:46,0,5").unwrap_err().starts_with("\"0\""));
        assert!(row("2023-11-16 18:15:46,5,-1").unwrap_err().starts_with("\"-1\""));
    }
}
