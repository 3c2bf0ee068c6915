//! Reads traces: requests with their times, lengths and blocks.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

use crate::lab::trace::row::Row;
use crate::lab::trace::{azure, mooncake};

/// The requests of a trace, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    pub(super) rows: Vec<Row>,
}

/// Why a trace cannot be read.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("{path}: cannot read the trace", path = path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A line is not one of a trace.
    #[error("{path}, line {line}: {fault}", path = path.display())]
    Line {
        /// The path of the file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong, and what is expected.
        fault: String,
    },
    /// The file has no requests.
    #[error("{path}: no requests; expected the lines of an Azure (CSV) or Mooncake (JSONL) trace", path = path.display())]
    Empty {
        /// The path of the file.
        path: PathBuf,
    },
}

impl Trace {
    /// Reads a trace from a file.
    ///
    /// # Errors
    /// The file cannot be read, or a line is invalid. The message contains file and line.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let file = File::open(path).map_err(|source| read_error(path, source))?;
        Self::read(file, path)
    }

    /// Reads a trace from `from`. `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(from: impl Read, path: &Path) -> Result<Self, TraceError> {
        let mut from = BufReader::new(from);
        let head = from.fill_buf().map_err(|source| read_error(path, source))?;
        if head.starts_with(&GZIP) {
            return Self::lines(BufReader::new(MultiGzDecoder::new(from)), path);
        }
        Self::lines(from, path)
    }

    fn lines(from: impl BufRead, path: &Path) -> Result<Self, TraceError> {
        let mut format = None;
        let mut rows = Vec::new();
        for (index, line) in from.lines().enumerate() {
            let line = line.map_err(|source| read_error(path, source))?;
            let line = line.trim();
            let fault = |fault| TraceError::Line { path: path.to_owned(), line: index + 1, fault };
            if line.is_empty() {
                continue;
            }
            match format {
                Some(format) => rows.push(Self::row(format, line).map_err(fault)?),
                None => {
                    let found = Format::of(line).map_err(fault)?;
                    format = Some(found);
                    // The first line of an Azure trace has the names of the columns.
                    if found == Format::Mooncake {
                        rows.push(Self::row(found, line).map_err(fault)?);
                    }
                }
            }
        }
        Self::of(rows).ok_or_else(|| TraceError::Empty { path: path.to_owned() })
    }

    fn row(format: Format, line: &str) -> Result<Row, String> {
        match format {
            Format::Azure => azure::row(line),
            Format::Mooncake => mooncake::row(line),
        }
    }

    /// Sorts the rows by time and moves the first one to zero. `None`: there are no rows.
    fn of(mut rows: Vec<Row>) -> Option<Self> {
        rows.sort_by_key(|row| row.at);
        let first = rows.first()?.at;
        rows.iter_mut().for_each(|row| row.at -= first);
        Some(Self { rows })
    }

    /// The requests in order of time.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

fn read_error(path: &Path, source: io::Error) -> TraceError {
    TraceError::Read { path: path.to_owned(), source }
}

/// The formats of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Azure,
    Mooncake,
}

/// The first two bytes of every gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl Format {
    fn of(line: &str) -> Result<Self, String> {
        match line {
            azure::HEAD => Ok(Self::Azure),
            _ if line.starts_with('{') => Ok(Self::Mooncake),
            _ => Err(format!("expected {:?} or a JSON object with input_length", azure::HEAD)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
        2024-02-28 23:59:59.5000000,100,7\n2024-02-29 00:00:01.7500000,300,1\n";

    fn read(text: &[u8]) -> Result<Trace, TraceError> {
        Trace::read(text, Path::new("some.trace"))
    }

    fn message(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_azure_trace_is_read_plain_and_packed() {
        let plain = read(AZURE.as_bytes()).unwrap();
        assert_eq!(plain.rows().len(), 2);
        assert_eq!(plain.rows()[1].at, Duration::from_millis(2_250));
        assert_eq!((plain.rows()[0].prompt_tokens, plain.rows()[0].output_tokens), (100, 7));
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(AZURE.as_bytes()).unwrap();
        assert_eq!(read(&packed.finish().unwrap()).unwrap(), plain);
    }

    #[test]
    fn a_mooncake_trace_is_read_in_order_of_time() {
        let trace = read(
            b"{\"timestamp\": 4000, \"input_length\": 600, \"output_length\": 9, \"hash_ids\": [1, 3]}\n\
              {\"timestamp\": 1000, \"input_length\": 700, \"output_length\": 5, \"hash_ids\": [1, 2]}\n",
        )
        .unwrap();
        let rows = trace.rows();
        assert_eq!(
            (rows[0].blocks.as_slice(), rows[1].blocks.as_slice()),
            (&[1, 2][..], &[1, 3][..])
        );
        assert_eq!((rows[0].at, rows[1].at), (Duration::ZERO, Duration::from_secs(3)));
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        let azure = AZURE.replace("300,1", "many,1");
        assert!(message(&azure).starts_with("some.trace, line 3: \"many\""), "{}", message(&azure));
        let mooncake = "{\"timestamp\": 0, \"input_length\": 5}";
        let said = message(mooncake);
        assert!(
            said.starts_with("some.trace, line 1:") && said.contains("output_length"),
            "{said}"
        );
        assert!(message("a,b,c\n1,2,3\n").contains("line 1: expected \"TIMESTAMP,"));
        assert!(message("").contains("no requests"));
        assert!(message("TIMESTAMP,ContextTokens,GeneratedTokens\n").contains("no requests"));
    }
}
