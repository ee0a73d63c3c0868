//! The fuzzer's entry to [`fuzz::ranges`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ranges::check(data));
