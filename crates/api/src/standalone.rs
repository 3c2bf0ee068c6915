//! Reads the file of a stand-alone router: `QoERoute` and `EndpointList` documents.
//!
//! The steps are: YAML with the position of every value (`yaml`), unknown fields (`strict`), types and the rules of one
//! document (`documents`), and the rules across documents (here). Each step reports every error it finds.

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

/// Reads the text of a stand-alone file.
///
/// # Errors
/// Every error in the file, each with line, column and field. A file with an error is rejected as a whole.
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
    errors.extend(route_conflicts(&routes));
    errors.extend(endpoint_conflicts(&endpoints));
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
    let message = format!("no document of kind {kind}: add one after a `---` line");
    (count == 0).then(|| LoadError::of_file(message))
}

/// Errors for routes that share a name or a model.
fn route_conflicts(routes: &[(NamedRoute, &Document)]) -> Vec<LoadError> {
    let mut errors = Vec::new();
    let mut names = Firsts::default();
    let mut models = Firsts::default();
    for (route, document) in routes {
        let name = &route.qualified_name();
        let site = document.site(FieldPath::of("metadata.name"));
        let same_name = names.claim(name, name, &site, |_, line| {
            format!("route `{name}` is already defined on line {line}: rename one")
        });
        if let Some(error) = same_name {
            errors.push(error);
            continue;
        }
        for (i, model) in route.spec.models.iter().enumerate() {
            let site = document.site(FieldPath::of("spec.models").index(i));
            errors.extend(models.claim(model, name, &site, |owner, line| {
                format!(
                    "model `{model}` belongs to both route `{owner}` (line {line}) and route `{name}`: \
                     remove it from one"
                )
            }));
        }
    }
    errors
}

/// Errors for endpoints that share a name or an address.
fn endpoint_conflicts(endpoints: &[(EndpointSpec, Site<'_>)]) -> Vec<LoadError> {
    let mut errors = Vec::new();
    let mut names = Firsts::default();
    let mut urls = Firsts::default();
    for (EndpointSpec { name, url, .. }, site) in endpoints {
        errors.extend(names.claim(name, name, &site.key("name"), |_, line| {
            format!("endpoint `{name}` is already defined on line {line}: rename one")
        }));
        errors.extend(urls.claim(&url.to_string(), name, &site.key("url"), |owner, line| {
            format!(
                "{url} is already the address of endpoint `{owner}` on line {line}: list it once; \
                 an endpoint without a phase serves both"
            )
        }));
    }
    errors
}

/// The first owner of each key, and its line.
#[derive(Default)]
struct Firsts(BTreeMap<String, (String, u64)>);

impl Firsts {
    /// Claims `key` for `owner`. If it is taken, returns the error that `message` makes of the first owner and its
    /// line.
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
