use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::json::arbitrary::{blank, object, quoted, string, value};
use crate::request::analyze::{Api, HeaderRules, analyze};

const PARAMS: &[u8] = br#"{"do_remote_decode":true}"#;

fn analysis(body: &Bytes) -> Analysis {
    analyze(Api::ChatCompletions, &http::HeaderMap::new(), body, &HeaderRules::default())
        .expect("a request")
}

/// The pieces as one text, after a look at their length.
fn joined(segments: Segments) -> String {
    let length = segments.len_bytes();
    let bytes = segments.fold(Vec::new(), |all, part| [&all[..], &part[..]].concat());
    assert_eq!(length, bytes.len());
    String::from_utf8(bytes).expect("UTF-8")
}

fn legs(body: &str) -> [String; 3] {
    of(body, false, Priority::Medium)
}

fn of(body: &str, by_priority: bool, priority: Priority) -> [String; 3] {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let analysis = Analysis { priority, ..analysis(&body) };
    let legs = Legs { body: &body, analysis: &analysis, by_priority };
    [legs.whole(), legs.prefill(PARAMS), legs.decoding(PARAMS)].map(joined)
}

fn is_stripped(name: &str) -> bool {
    name == "kv_transfer_params" || name == "ec_transfer_params" || name.starts_with("bootstrap_")
}

/// The same three edits, on a tree.
fn legs_by_tree(body: &str) -> [Map<String, Value>; 3] {
    let mut whole: Map<String, Value> = serde_json::from_str(body).expect("an object");
    whole.retain(|name, _| !is_stripped(name));
    let mut decoding = whole.clone();
    decoding.insert("kv_transfer_params".into(), json!({"do_remote_decode": true}));
    let mut prefill = decoding.clone();
    prefill.retain(|name, _| name != "min_tokens" && name != "stream_options");
    prefill.insert("max_tokens".into(), json!(1));
    prefill.insert("stream".into(), json!(false));
    for name in ["max_completion_tokens", "n"] {
        if let Some(value) = prefill.get_mut(name) {
            *value = json!(1);
        }
    }
    [whole, prefill, decoding]
}

#[test]
fn a_body_without_anything_to_strip_goes_as_it_came() {
    let body = Bytes::from_static(br#"{"model":"tiny","messages":[],"n":1} "#);
    let legs = Legs { body: &body, analysis: &analysis(&body), by_priority: false };
    let parts: Vec<Bytes> = legs.whole().collect();
    assert_eq!(parts.len(), 1);
    assert_eq!((parts[0].as_ptr(), parts[0].len()), (body.as_ptr(), body.len()));
}

#[test]
fn the_legs_of_a_plain_request_are_these() {
    let [whole, prefill, decoding] = legs(
        r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":9,"stream":true,"stream_options":{"include_usage":true}}"#,
    );
    assert!(whole.ends_with(r#""stream_options":{"include_usage":true}}"#));
    assert_eq!(
        prefill,
        r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":1,"stream":false,"kv_transfer_params":{"do_remote_decode":true}}"#
    );
    assert_eq!(
        decoding,
        r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":9,"stream":true,"stream_options":{"include_usage":true},"kv_transfer_params":{"do_remote_decode":true}}"#
    );
}

#[test]
fn members_are_cut_with_their_commas_wherever_they_are() {
    let cases = [
        (r#"{"kv_transfer_params":{},"model":"m"}"#, r#"{"model":"m"}"#),
        (r#"{"model":"m" , "kv_transfer_params":{} }"#, r#"{"model":"m"}"#),
        (r#"{"model":"m","bootstrap_host":"h","n":1}"#, r#"{"model":"m","n":1}"#),
        (r#"{"a":1,"bootstrap_host":"h","bootstrap_port":1,"ec_transfer_params":0}"#, r#"{"a":1}"#),
        (r#"{"bootstrap_host":"h","a":1,"bootstrap_room":1}"#, r#"{"a":1}"#),
        (r#"{ "kv_transfer_params" : {} }"#, "{}"),
        (
            r#"{"\u006bv_transfer_params":{"a":1},"a":"\"kv_transfer_params\":1"}"#,
            r#"{"a":"\"kv_transfer_params\":1"}"#,
        ),
        (r#"{"a":{"kv_transfer_params":1}}"#, r#"{"a":{"kv_transfer_params":1}}"#),
    ];
    for (body, expected) in cases {
        assert_eq!(legs(body)[0], expected, "of {body}");
    }
}

#[test]
fn an_empty_object_gets_members_without_a_comma() {
    for body in ["{}", r#"{"kv_transfer_params":null}"#] {
        assert_eq!(legs(body)[2], r#"{"kv_transfer_params":{"do_remote_decode":true}}"#);
    }
}

#[test]
fn the_priority_is_said_where_it_counts_and_the_client_has_not_said_it() {
    let body = r#"{"model":"m","max_tokens":1}"#;
    for (priority, number) in [(Priority::High, 0), (Priority::Medium, 1), (Priority::Low, 2)] {
        let [whole, prefill, decoding] = of(body, true, priority);
        assert_eq!(whole, format!(r#"{{"model":"m","max_tokens":1,"priority":{number}}}"#));
        for leg in [prefill, decoding] {
            assert!(leg.contains(&format!(r#","priority":{number},"#)), "{leg}");
        }
        assert_eq!(of(body, false, priority)[0], body);
    }
    let own = r#"{"model":"m","priority":-7}"#;
    assert_eq!(of(own, true, Priority::Low)[0], own);
    assert_eq!(of("{}", true, Priority::Low)[0], r#"{"priority":2}"#);
}

#[test]
fn a_prompt_is_never_copied() {
    let prompt = "x".repeat(100_000);
    let text =
        format!(r#"{{"kv_transfer_params":{{}},"messages":["{prompt}"],"stream":true,"n":1}}"#);
    let body = Bytes::from(text);
    let inside = body.as_ptr_range();
    let legs = Legs { body: &body, analysis: &analysis(&body), by_priority: true };
    for leg in [legs.prefill(PARAMS), legs.decoding(PARAMS)] {
        let copied: usize =
            leg.filter(|part| !inside.contains(&part.as_ptr())).map(|part| part.len()).sum();
        assert!((30..100).contains(&copied), "only what is inserted is new: {copied} bytes");
    }
}

/// An object in which each known member is there at most once, in any order, and others as often as they like.
fn body() -> impl Strategy<Value = String> {
    const EDITED: [&str; 12] = [
        "kv_transfer_params",
        "ec_transfer_params",
        "bootstrap_host",
        "bootstrap_port",
        "bootstrap_",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "min_tokens",
        "stream_options",
        "messages",
        "prompt",
    ];
    let edited = prop::sample::subsequence(EDITED.to_vec(), 0..8).prop_flat_map(|names| {
        names.into_iter().map(|name| (quoted(name.to_owned()), value())).collect::<Vec<_>>()
    });
    let stream = prop_oneof![
        Just(vec![]),
        (
            quoted("stream".to_owned()),
            prop::sample::select(vec!["true", "false", "null", "\"yes\"", "1"])
        )
            .prop_map(|(key, value)| vec![(key, value.to_owned())]),
    ];
    let model =
        prop_oneof![Just(vec![]), string().prop_map(|name| vec![("\"model\"".to_owned(), name)])];
    let others = vec(("[a-d]{1,2}".prop_map(|name| format!("\"{name}\"")), value()), 0..4);
    let members = (edited, stream, model, others)
        .prop_map(|(a, b, c, d)| [a, b, c, d].concat())
        .prop_shuffle();
    members
        .prop_flat_map(|members| {
            members
                .into_iter()
                .map(|(key, value)| {
                    ((blank(), Just(key), blank()), (blank(), Just(value), blank()))
                })
                .collect::<Vec<_>>()
        })
        .prop_flat_map(|members| (blank(), Just(object(members)), blank()))
        .prop_map(|(before, object, after)| format!("{before}{object}{after}"))
}

proptest! {
    #[test]
    fn splicing_equals_the_same_edit_of_a_tree(body in body()) {
        let spliced = legs(&body).map(|leg| serde_json::from_str::<Map<String, Value>>(&leg));
        for (spliced, expected) in spliced.into_iter().zip(legs_by_tree(&body)) {
            prop_assert_eq!(spliced.expect("an object"), expected, "of {}", body);
        }
    }
}
