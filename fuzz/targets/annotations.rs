//! The fuzzer's entry to [`fuzz::annotations`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::annotations::check(data));
