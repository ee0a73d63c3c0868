//! The fuzzer's entry to [`fuzz::arp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::arp::check(data));
