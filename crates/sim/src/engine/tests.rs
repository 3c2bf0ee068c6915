//! To be read beside `schedule.rs`.
