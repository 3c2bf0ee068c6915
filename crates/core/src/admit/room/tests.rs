use std::time::Duration;

use super::*;
use crate::memory::arrival_rates::ArrivalRates;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_line_before_an_endpoint_is_longer_for_who_is_more_urgent() {
    let target = Target { ttft: ms(500), itl: ms(50) };
    let room = |wait, priority| {
        has_room(&Forecast { wait, itl: 0.05, ..Forecast::default() }, target, priority, false)
    };
    assert!(room(0.09, Priority::High) && room(0.09, Priority::Medium));
    assert!(room(0.3, Priority::High) && !room(0.3, Priority::Medium));
    assert!(room(0.04, Priority::Low) && !room(0.12, Priority::Low));
}

#[test]
fn room_for_streams_is_left_where_more_urgent_requests_come() {
    let urgency = ArrivalRates::default();
    (0..100).for_each(|i| urgency.note(Priority::Medium, ms(i)));
    assert!(!urgency.beyond(Priority::Medium, ms(100)));
    assert!(urgency.beyond(Priority::Low, ms(100)));
    (0..10).for_each(|i| urgency.note(Priority::High, ms(100 + i)));
    assert!(urgency.beyond(Priority::Medium, ms(110)) && !urgency.beyond(Priority::High, ms(110)));
    let target = Target { ttft: ms(500), itl: ms(30) };
    let slow = Forecast { itl: 0.04, ..Forecast::default() };
    let room = |forecast, behind| has_room(&forecast, target, Priority::Medium, behind);
    assert!(room(slow, false) && !room(slow, true));
    let waits = Forecast { wait: 0.07, ..Forecast::default() };
    assert!(room(waits, false) && !room(waits, true), "a seventh of its target");
}
