//! Why no route serves a request.

/// Known model names that a 404 lists.
const NAMED_MODELS: usize = 20;

/// The list of known models for an error, cut to a readable length.
pub(crate) fn known_models<'a>(models: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = models.collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(NAMED_MODELS);
    names.truncate(NAMED_MODELS);
    match (names.is_empty(), more) {
        (true, _) => "none yet".to_owned(),
        (_, 0) => names.join(", "),
        (_, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// A client's model name for an error message: not longer than names are.
pub(crate) fn shortened(model: &str) -> String {
    const MOST: usize = 200;
    match model.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &model[..end]),
        None => model.to_owned(),
    }
}
