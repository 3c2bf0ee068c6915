//! JSON texts for property tests: any whitespace, any escapes, decoys of the members that the router cuts.

use proptest::collection::vec;
use proptest::prelude::*;

/// What is before a token, the token, and what is after it.
pub(crate) type Padded = (String, String, String);

/// Whitespace, mostly none.
pub(crate) fn blank() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

/// `name` in quotes, with some characters written as `\u` escapes.
pub(crate) fn quoted(name: String) -> impl Strategy<Value = String> {
    vec(prop::bool::weighted(0.1), name.len()).prop_map(move |escaped| {
        let inner: String = name
            .chars()
            .zip(escaped.into_iter().chain(std::iter::repeat(false)))
            .map(|(c, escaped)| match escaped {
                true => format!("\\u{:04x}", u32::from(c)),
                false => c.to_string(),
            })
            .collect();
        format!("\"{inner}\"")
    })
}

/// A string, in quotes.
pub(crate) fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z {}\\[\\],:é字]{0,6}",
        1 => prop::sample::select(vec![
            r#"\""#, r"\\", r"\n", r"\/", r"\u0041", r"\ud83d\ude00", "\u{1F600}",
            r#"\"kv_transfer_params\":{\"a\":1},"#, r#","stream":true"#.replace('"', r#"\""#).leak(),
        ]).prop_map(str::to_owned),
    ];
    vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Any value.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "0", "-0", "1", "12.5", "1e3", "-7E-2"])
            .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        string(),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            2 => "[a-c]{0,2}".prop_map(|name| format!("\"{name}\"")),
            1 => prop::sample::select(vec!["kv_transfer_params", "role", "stream", "bootstrap_x"])
                .prop_flat_map(|name| quoted(name.to_owned())),
        ];
        prop_oneof![
            vec((blank(), inner.clone(), blank()), 0..4).prop_map(array),
            vec(((blank(), key, blank()), (blank(), inner, blank())), 0..4).prop_map(object),
        ]
    })
}

/// `{…}` of members: name and value in JSON, each with what is before and after it.
pub(crate) fn object(members: Vec<(Padded, Padded)>) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|((a, key, b), (c, value, d))| format!("{a}{key}{b}:{c}{value}{d}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn array(items: Vec<Padded>) -> String {
    let items: Vec<String> =
        items.into_iter().map(|(a, item, b)| format!("{a}{item}{b}")).collect();
    format!("[{}]", items.join(","))
}
