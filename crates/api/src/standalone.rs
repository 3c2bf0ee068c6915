//! The file of a router that stands alone: `QoERoute` documents, and `EndpointList` documents beside them.
//!
//! It is read in steps: YAML with the position of every value (`yaml`), fields nobody knows (`strict`), types
//! (`documents`), the rules of one document, and what documents must agree on (here). Each step reports all it finds.

mod documents;
mod error;
mod model;
mod strict;
mod url;
mod yaml;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

pub use error::{LoadError, LoadErrors};
pub use url::{EndpointUrl, UrlError};

pub use self::model::{EndpointSpec, NamedRoute, Scheduling, StandaloneConfig};
use crate::path::FieldPath;
use crate::standalone::documents::Parsed;
use crate::standalone::yaml::{Document, Site};

/// Reads the text of a file.
///
/// # Errors
/// All that is wrong with it, each with line, column and field; nothing of a file with an error is used.
pub fn load(text: &str) -> Result<StandaloneConfig, LoadErrors> {
    let documents = yaml::read(text)?;
    let mut errors = Vec::new();
    let mut routes = Vec::new();
    let mut endpoints = Vec::new();
    let mut lists = 0;
    for document in &documents {
        match documents::parse(document) {
            Ok(Parsed::Route(route)) => routes.push((*route, document)),
            Ok(Parsed::Endpoints(listed)) => {
                lists += 1;
                endpoints.extend(listed.into_iter().map(|(e, path)| (e, document.site(path))));
            }
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() {
        errors.extend(missing("QoERoute", routes.len()));
        errors.extend(missing("EndpointList", lists));
    }
    errors.extend(routes_disagree(&routes));
    errors.extend(endpoints_disagree(&endpoints));
    if !errors.is_empty() {
        errors.sort_by_key(|error| (error.line, error.column));
        return Err(LoadErrors(errors));
    }
    Ok(StandaloneConfig {
        routes: routes.into_iter().map(|(route, _)| route).collect(),
        endpoints: endpoints.into_iter().map(|(endpoint, _)| endpoint).collect(),
    })
}

fn missing(kind: &str, count: usize) -> Option<LoadError> {
    let message = format!("no document of kind {kind}: add one, after a line `---`");
    (count == 0).then(|| LoadError::of_file(message))
}

/// Two routes with one name, or with one model.
fn routes_disagree(routes: &[(NamedRoute, &Document)]) -> Vec<LoadError> {
    let mut errors = Vec::new();
    let mut names = Firsts::default();
    let mut models = Firsts::default();
    for (route, document) in routes {
        let name = &route.qualified_name();
        let site = document.site(FieldPath::of("metadata.name"));
        let same_name = names.claim(name, name, &site, |_, line| {
            format!("route `{name}` is already on line {line}: rename one")
        });
        if let Some(error) = same_name {
            errors.push(error);
            continue;
        }
        for (i, model) in route.spec.models.iter().enumerate() {
            let site = document.site(FieldPath::of("spec.models").index(i));
            errors.extend(models.claim(model, name, &site, |owner, line| {
                format!(
                    "model `{model}` is of route `{owner}` (line {line}) and of route `{name}`: \
                     leave it to one of them"
                )
            }));
        }
    }
    errors
}

/// Two endpoints with one name, or with one address.
fn endpoints_disagree(endpoints: &[(EndpointSpec, Site<'_>)]) -> Vec<LoadError> {
    let mut errors = Vec::new();
    let mut names = Firsts::default();
    let mut urls = Firsts::default();
    for (EndpointSpec { name, url, .. }, site) in endpoints {
        errors.extend(names.claim(name, name, &site.key("name"), |_, line| {
            format!("endpoint `{name}` is already on line {line}: rename one")
        }));
        errors.extend(urls.claim(&url.to_string(), name, &site.key("url"), |owner, line| {
            format!(
                "{url} is already endpoint `{owner}` on line {line}: list it once; an endpoint \
                 without a phase does both"
            )
        }));
    }
    errors
}

/// Who had each key first, and on which line.
#[derive(Default)]
struct Firsts(BTreeMap<String, (String, u64)>);

impl Firsts {
    /// Takes `key` for `owner`, or makes the error: `message` gets the first owner and its line.
    fn claim(
        &mut self,
        key: &str,
        owner: &str,
        site: &Site<'_>,
        message: impl FnOnce(&str, u64) -> String,
    ) -> Option<LoadError> {
        match self.0.entry(key.to_owned()) {
            Entry::Occupied(first) => Some(site.error(message(&first.get().0, first.get().1))),
            Entry::Vacant(free) => {
                free.insert((owner.to_owned(), site.line()));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
