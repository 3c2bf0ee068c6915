use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::arbitrary::value;
use super::error::{JsonError, JsonErrorKind};
use super::members::members;
use super::scanner::Scanner;
use super::text::unescape;

/// Crosses the one value of a text.
fn cross(text: &[u8]) -> Result<(), JsonError> {
    let mut scan = Scanner::new(text)?;
    scan.skip()?;
    scan.end()
}

/// Walks the top level of an object, and crosses what is in it.
fn walk(text: &[u8]) -> Result<Vec<(String, String)>, JsonError> {
    let members = members(text)?;
    let text_of =
        |range: &std::ops::Range<usize>| String::from_utf8_lossy(&text[range.clone()]).into_owned();
    Ok(members.iter().map(|member| (text_of(&member.key), text_of(&member.value))).collect())
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn members_and_their_values_are_found_where_they_are() {
    let text = br#" { "a" : 1 ,"b":{"a":[1,"}"]}, "\u0063":"x\"y" } "#;
    let found = walk(text).expect("valid");
    let expected = [("a", "1"), ("b", r#"{"a":[1,"}"]}"#), (r"\u0063", r#""x\"y""#)];
    assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert!(members(text).expect("valid")[2].key_is(text, "c"), "however it is escaped");
    assert_eq!(walk(b"{}").expect("valid"), []);
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    let cases: [(&[u8], &str); 17] = [
        (b"", "the text ends too early at byte 0"),
        (b"{", "the text ends too early at byte 1"),
        (b"[1]", "expected an object at byte 0"),
        (b"{\"a\":1", "the text ends too early at byte 6"),
        (b"{\"a\":1,}", "expected a member's name in quotes at byte 7"),
        (b"{a:1}", "expected a member's name in quotes at byte 1"),
        (b"{\"a\" 1}", "expected a colon at byte 5"),
        (b"{\"a\":1 \"b\":2}", "expected a comma or the object's end at byte 7"),
        (b"{\"a\":[1 2]}", "expected a comma or the array's end at byte 8"),
        (b"{\"a\":}", "expected a value at byte 5"),
        (b"{\"a\":NaN}", "expected a value at byte 5"),
        (b"{\"a\":-}", "a malformed number at byte 6"),
        (b"{\"a\":\"b", "the text ends too early at byte 7"),
        (b"{\"a\":\"b\nc\"}", "a control character inside a string at byte 7"),
        (b"{\"a\":\"\\x\"}", "a wrong escape in a string at byte 6"),
        (b"{\"a\":1}{", "expected nothing after the value at byte 7"),
        (b"{\"a\":\"\xff\"}", "the text is not UTF-8 at byte 6"),
    ];
    for (text, told) in cases {
        let error = members(text).expect_err(told);
        assert_eq!(error.to_string(), told, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn encodings_that_python_would_guess_are_refused() {
    for text in [&b"\xef\xbb\xbf{}"[..], b"{\0}\0", b"\0{\0}", b"\xff\xfe{\0}\0"] {
        assert!(members(text).is_err(), "{text:?}");
    }
}

#[test]
fn nesting_is_bounded_where_it_is_entered_and_where_it_is_crossed() {
    assert_eq!(cross(nested(128).as_bytes()), Ok(()));
    let deep = cross(nested(129).as_bytes()).expect_err("too deep");
    assert_eq!((deep.kind, deep.at), (JsonErrorKind::TooDeep, 128));
    assert!(cross("[".repeat(100_000).as_bytes()).is_err());
    let inside = |depth| walk(format!("{{\"a\":{}}}", nested(depth)).as_bytes());
    assert!(inside(127).is_ok());
    assert_eq!(inside(128).expect_err("too deep").kind, JsonErrorKind::TooDeep);
}

#[test]
fn strings_are_unescaped_as_serde_does_it() {
    for raw in [r"plain", r#"\"\\\/\b\f\n\r\t"#, r"\u00e9\u5b57 \ud83d\ude00", "é \\n 字"] {
        let expected: String = serde_json::from_str(&format!("\"{raw}\"")).expect("a string");
        assert_eq!(unescape(raw.as_bytes()), expected);
    }
    for (raw, text) in
        [(r"\ud83d", "\u{fffd}"), (r"\ud83dx\u0041", "\u{fffd}xA"), (r"\ude00", "\u{fffd}")]
    {
        assert_eq!(unescape(raw.as_bytes()), text, "half a pair is no character");
    }
}

#[test]
fn integers_are_those_that_are_whole() {
    let read =
        |text: &str| Scanner::new(text.as_bytes()).expect("UTF-8").skip().expect("valid").integer();
    assert_eq!(
        [read("16"), read("16.0"), read("1e3"), read("-3")],
        [Some(16), Some(16), Some(1000), Some(-3)]
    );
    assert_eq!([read("1.5"), read("1e300"), read("\"1\""), read("true")], [None; 4]);
}

#[test]
fn a_prompt_of_ten_megabytes_is_one_value() {
    let body = format!(r#"{{"prompt":"{}","n":1}}"#, "a \\\" b\\n".repeat(1_200_000));
    let found = members(body.as_bytes()).expect("valid");
    assert_eq!(found[0].value.len(), body.len() - r#"{"prompt":,"n":1}"#.len());
}

proptest! {
    #[test]
    fn what_serde_reads_is_read_alike(text in value()) {
        prop_assert_eq!(cross(text.as_bytes()), Ok(()));
        if let Ok(serde_json::Value::Object(expected)) = serde_json::from_str(&text) {
            let found: serde_json::Map<_, _> = members(text.as_bytes())
                .expect("valid")
                .into_iter()
                .map(|m| {
                    let value = serde_json::from_slice(&text.as_bytes()[m.value]).expect("a value");
                    (unescape(&text.as_bytes()[m.key]).into_owned(), value)
                })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_damaged_text_is_refused_exactly_if_serde_refuses_it(
        text in value(),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(vec!["", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", ".", "e", "-", " ", "\n", "u", "é"]),
        keep in any::<bool>(),
    ) {
        let mut damaged: Vec<char> = text.chars().collect();
        let at = at.index(damaged.len());
        damaged.splice(at..at + usize::from(!keep), with.chars());
        let damaged: String = damaged.into_iter().collect();
        let serde = serde_json::from_str::<IgnoredAny>(&damaged);
        prop_assert_eq!(cross(damaged.as_bytes()).is_ok(), serde.is_ok(), "{}", damaged);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let valid = std::str::from_utf8(&bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        prop_assert_eq!(cross(&bytes).is_ok(), valid);
        let _ = unescape(&bytes);
    }
}
