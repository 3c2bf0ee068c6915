//! Cuts and insertions at the top level of one JSON object, commas included.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::request::analyze::members::{Members, Name, Spot};
use crate::request::splice::segments::Segments;

/// A range of the body, and the bytes that replace it.
struct Cut {
    bytes: Range<u32>,
    with: &'static [u8],
}

/// The changes to be made in one object.
pub(super) struct Edits<'a> {
    members: &'a Members,
    cuts: SmallVec<[Cut; 8]>,
    /// Members that go to the object's end, each with a comma before it.
    appended: Vec<u8>,
    stripped: u32,
}

impl<'a> Edits<'a> {
    pub(super) fn of(members: &'a Members) -> Self {
        Self { members, cuts: SmallVec::new(), appended: Vec::new(), stripped: 0 }
    }

    /// Cuts the members that `which` names, each with the comma behind it; those at the object's end with the comma
    /// before them.
    pub(super) fn strip(mut self, which: impl Fn(Name) -> bool) -> Self {
        let spots = &self.members.spots;
        let tail = tail(self.members, &which);
        for spot in spots.iter().filter(|spot| which(spot.name)) {
            self.stripped += 1;
            let bytes = match &tail {
                Some(tail) if spot.key >= tail.start => continue,
                _ => spot.key..spot.next,
            };
            self.cuts.push(Cut { bytes, with: b"" });
        }
        self.cuts.extend(tail.map(|bytes| Cut { bytes, with: b"" }));
        self
    }

    /// Replaces the value of a member that is there.
    pub(super) fn replace(mut self, name: Name, value: &'static [u8]) -> Self {
        if let Some(spot) = self.spot(name) {
            self.cuts.push(Cut { bytes: spot.value.clone(), with: value });
        }
        self
    }

    /// Replaces the value of a member, or appends the member.
    pub(super) fn set(self, name: Name, value: &'static [u8]) -> Self {
        if self.spot(name).is_some() { self.replace(name, value) } else { self.append(name, value) }
    }

    /// Appends a member, unless one of its name is there.
    pub(super) fn add(self, name: Name, value: &[u8]) -> Self {
        if self.spot(name).is_some() { self } else { self.append(name, value) }
    }

    /// Puts a member at the object's end. None of its name may be there, except one that is stripped.
    pub(super) fn append(mut self, name: Name, value: &[u8]) -> Self {
        let name = name.as_str().as_bytes();
        self.appended.reserve(name.len() + value.len() + 5);
        for part in [&b",\""[..], name, b"\":", value] {
            self.appended.extend_from_slice(part);
        }
        self
    }

    /// The edited body.
    pub(super) fn apply(mut self, body: &Bytes) -> Segments {
        if self.cuts.is_empty() && self.appended.is_empty() {
            return Segments::from(SmallVec::from_iter([body.clone()]));
        }
        self.cuts.sort_unstable_by_key(|cut| cut.bytes.start);
        let mut parts = SmallVec::new();
        let mut from = 0;
        for cut in &self.cuts {
            push(&mut parts, body.slice(from..cut.bytes.start as usize));
            push(&mut parts, Bytes::from_static(cut.with));
            from = cut.bytes.end as usize;
        }
        let close = self.members.close as usize;
        push(&mut parts, body.slice(from..close));
        push(&mut parts, self.end());
        Segments::from(parts)
    }

    /// The appended members and the closing brace, with a comma before them only if another member stays.
    fn end(mut self) -> Bytes {
        let nothing_stays = self.stripped == self.members.count;
        self.appended.push(b'}');
        let end = Bytes::from(self.appended);
        if nothing_stays && end.len() > 1 { end.slice(1..) } else { end }
    }

    fn spot(&self, name: Name) -> Option<&'a Spot> {
        self.members.spots.iter().find(|spot| spot.name == name)
    }
}

/// The range of stripped members at the object's end, from the end of the last member that stays.
fn tail(members: &Members, which: &impl Fn(Name) -> bool) -> Option<Range<u32>> {
    let mut due = members.count;
    let mut tail = None;
    for spot in members.spots.iter().rev() {
        if spot.index + 1 != due || !which(spot.name) {
            break;
        }
        due = spot.index;
        tail = Some(spot.after_previous..members.close);
    }
    tail
}

fn push(parts: &mut SmallVec<[Bytes; 8]>, part: Bytes) {
    if !part.is_empty() {
        parts.push(part);
    }
}
